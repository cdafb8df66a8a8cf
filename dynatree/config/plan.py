"""The plan of a run: everything that its configuration measures."""

from dataclasses import dataclass

from dynatree.config.arena import arena_tokens
from dynatree.config.experiments import jobs, memory_jobs
from dynatree.config.jobs import PROMPTS, TUNING, Group, Job


@dataclass(frozen=True)
class Plan:
    """Everything that a configuration measures.

    Attributes:
        config: the configuration.
        jobs: name -> decoding job; options that tuning chooses are not resolved yet.
        memory: data set -> job that measures peak memory.
    """

    config: dict
    jobs: dict[str, Job]
    memory: dict[str, Job]

    @classmethod
    def from_config(cls, config: dict) -> "Plan":
        """Return the plan of a configuration."""
        return cls(config, jobs(config), memory_jobs(config))

    def jobs_of(self, experiment: str) -> dict[str, Job]:
        """Return the jobs of one experiment by name."""
        made = self.memory if experiment == "memory" else self.jobs
        return {name: job for name, job in made.items() if job.experiment == experiment}

    def labels(self, experiment: str) -> dict[str, dict[str, str]]:
        """Return the "cases" and "datasets" of an experiment as readers see them: key -> label."""
        made = self.jobs_of(experiment).values()
        return {
            "cases": {key: case.label for job in made for _, key, case in job.cases()},
            "datasets": {job.dataset: self.config["prompts"][job.dataset]["label"] for job in made},
        }

    def prompt_limits(self, dataset: str) -> dict[str, int]:
        """Return the bounds that the prompts of a data set must meet, see :func:`dynatree.data.prompts.prepare`."""
        compression = self.config["compression"]
        groups = self._groups(dataset, PROMPTS), self._groups(dataset, TUNING)
        cuts = [group.prompt_tokens for part in groups for group in part if group.prompt_tokens]
        texts = [compression["tokens"]] if dataset in compression["datasets"] else []
        longest = [max((group.new_tokens for group in part), default=0) for part in groups]
        longest[0] = max(longest[0], arena_tokens(self.config, dataset))
        return {
            "min": max([self.config["prompt_tokens"]["min"], *cuts, *texts]),
            "max": self.config["prompt_tokens"]["max"],
            "new_tokens": longest[0],
            "tuning_new_tokens": longest[1],
        }

    def _groups(self, dataset: str, split: str) -> list[Group]:
        made = (*self.jobs.values(), *self.memory.values())
        return [group for job in made if (job.dataset, job.split) == (dataset, split) for group in job.groups.values()]
