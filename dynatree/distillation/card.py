"""The model card of a distilled draft."""

CARD = """---
license: apache-2.0
library_name: dynatree
base_model: {target}
---

# A draft for {target}

This draft and its n-gram table propose tokens for speculative decoding with {target}; they are of no use alone. The draft has
{layers} of the target's {target_layers} layers, reads {reads} (not stored here), and scores the
{vocabulary} tokens the target predicts most often. Both were made from the target alone, from text the target sampled itself.

| | |
|---|---|
| training text | {tokens} tokens sampled by the target, {sequences} sequences |
| training | {steps} steps of {batch} sequences, {minutes:.0f} minutes on {threads} threads, starting from {start} |
| loss | cross-entropy with the target's argmax |
| agreement, top 1 | {top1:.3f} |
| agreement, top 2 | {top2:.3f} |
| agreement, top 4 | {top4:.3f} |
| size | {megabytes:.1f} MB (float16) |
| n-gram table | {contexts} contexts of one to three tokens, counted in the same text, {table_megabytes:.1f} MB |

Agreement is the share of the target's greedy tokens that the draft ranks first, among its first two, or among its first four, over
{new_tokens}-token continuations of {prompts} openings that share no subject with the training text.

Load it together with its target:

```python
from dynatree import load_pair

pair = load_pair(target="path/to/{target}", draft="path/to/this/folder")
```

Made by the following, after `scripts/sample_text.py` has written the samples; `make distill` runs both:

```
{command}
```

The weights derive from {target}, which is licensed under Apache-2.0, and so are these.
"""


def model_card(**facts) -> str:
    """Return the card; ``facts`` are the fields of :data:`CARD`."""
    return CARD.format(**facts)
