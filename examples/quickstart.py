"""Continue a prompt with the embedded pair, after `make setup model`."""

from dynatree import generate, load_pair

PROMPT = "The lighthouse keeper"

pair = load_pair("resources/models/smollm2-135m-instruct", "models/smollm2-135m-draft")
out = generate(pair, PROMPT, method="cost_aware", max_new_tokens=64)
print(PROMPT + out.text)
print(f"{len(out.tokens)} tokens in {out.stats.rounds} rounds and {out.stats.seconds['total']:.2f} s")

plain = generate(pair, PROMPT, method="autoregressive", max_new_tokens=64)
assert plain.tokens == out.tokens, "in float32 every method emits the same tokens"
print(f"{plain.stats.rounds} rounds and {plain.stats.seconds['total']:.2f} s without a draft")
