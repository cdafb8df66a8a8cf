"""The recordings of a configuration, on which free drafters are replayed."""


def arena_datasets(config: dict) -> list[str]:
    """Return the data sets whose outputs are recorded: those of the section ``arena``, or of the main experiment."""
    return config["arena"].get("datasets", config["experiments"]["main"]["datasets"])


def arena_prompts(config: dict, dataset: str) -> int:
    """Return the number of recorded prompts of a data set."""
    return min(config["arena"]["prompts"], config["prompts"][dataset]["count"])


def arena_tokens(config: dict, dataset: str) -> int:
    """Return the largest number of tokens that are recorded after a prompt of a data set; 0 for no recording."""
    return config["arena"]["new_tokens"] if dataset in arena_datasets(config) else 0
