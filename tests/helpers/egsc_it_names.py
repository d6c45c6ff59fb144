"""The names of EGSC-IT's parameters in the authors' checkpoints."""

from __future__ import annotations


def official_name(network: str, key: str) -> str:
    """The authors' name of our parameter `key` of `network`."""
    *modules, last = key.split(".")
    if network.startswith("discriminator"):
        kinds = {"weight": "gamma", "bias": "beta"} if "ins_norm" in key else {"weight": "weights", "bias": "biases"}
        return f"UNIT/discriminator_{network[-1].upper()}/{modules[0]}/{kinds[last]}"
    scope = {"features_a": "VAEGAN_recon_A/part1", "features_b": "VAEGAN_recon_B/part1"}.get(network)
    if scope is None:
        scope = "UNIT/" + (network if network.startswith("share") else network[:-1] + network[-1].upper())
    layer = "conv2d_transpose" if modules[0].startswith("deconv") else "conv2d"
    return "/".join([scope, *modules, layer, {"weight": "kernel", "bias": "bias"}[last]])
