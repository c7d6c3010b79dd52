"""Files of a multi-domain network: the shared body once, and each domain in a small file of its own.

    save_body(body, "body.safetensors", meta={"recipe": "paper"})
    save_domain(net, "dtd", "dtd.safetensors")
    net = MultiDomainNetwork(load_body("body.safetensors"), "pointwise-sharing")
    load_domain(net, "dtd.safetensors")            # "dtd"

A domain file holds the domain's own tensors only, and a hash of what the domain reads of the shared ones: with another
body it is refused. Files are safetensors with JSON in their metadata, written whole or not at all, and carry hashes of their
tensors and of that JSON, so that a damaged one is refused too. (Some older files have no hash of the JSON; they are read.)
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from data_prep.common.errors import UserError
from data_prep.common.files import write_bytes
from mdl.networks.any_body import AnyBody
from mdl.networks.body import Body
from mdl.networks.multi_domain import MultiDomainNetwork
from mdl.networks.named import COME_ALONG, named_body
from mdl.networks.resnet26 import plain_resnet26, separable_resnet26
from mdl.networks.sharing import METHODS, SharingMethod

FORMAT_VERSION = 1
_KEY = "mdl"


class CheckpointError(UserError):
    """The file is not what the caller takes it for: damaged, of another kind, or of another body."""


def save_body(
    body: Body,
    path: str | Path,
    meta: Mapping[str, object] | None = None,
    method: type[SharingMethod] | None = None,
) -> Path:
    """Write a body, with its head if it has one. `meta` is any JSON; `read_meta` gives it back under "meta".

    method: one of your own that the body may be prepared for; the methods that come along are known.
    """
    known = [*METHODS.values(), *([method] if method else [])]
    prepared = next((one.name for one in known if one.is_prepared(body)), None)
    header = {
        "kind": "body",
        "backbone": body.backbone,
        "width": body.width,
        "n_classes": body.n_classes,
        "dropout": body.dropout.p,
        "prepared_for": prepared,
        "body_hash": body_hash(body),
        "meta": dict(meta or {}),
    }
    return _write(path, body.state_dict(), header)


def load_body(path: str | Path, method: type[SharingMethod] | None = None, network: str | None = None) -> Body:
    """The body of a file that `save_body` wrote, in evaluation, on the CPU.

    method: one of your own, where the body was prepared for it. network: a factory of your own, where the body was made by one,
    as no code is run on the word of a file.
    """
    header, tensors = _read(path, "body")
    known = METHODS if method is None else METHODS | {method.name: method}
    prepared_for = header.get("prepared_for")
    if prepared_for is not None and prepared_for not in known:
        raise CheckpointError(
            f"{path} is prepared for the method {prepared_for}, which does not come along: give the method again as "
            f"path/to/file.py:Class."
        )
    build = {"separable": separable_resnet26, "plain": plain_resnet26}
    try:
        if header["backbone"] in build:
            with torch.device("meta"):
                body: Body = build[header["backbone"]](header["n_classes"], header["width"], header["dropout"])
                if prepared_for is not None:
                    known[prepared_for].prepare(body)
        else:
            body = _other_body(path, header, network)
            if prepared_for is not None:
                known[prepared_for].prepare(body)
        body.load_state_dict(tensors, strict=True, assign=True)
    except CheckpointError:
        raise
    except (KeyError, TypeError, RuntimeError, UserError) as error:
        raise CheckpointError(
            f"{path} describes no body that this version can build ({error}): save it again."
        ) from error
    return body.eval()


def _other_body(path: str | Path, header: Mapping[str, Any], network: str | None) -> AnyBody:
    """The body of another network, to be given its weights."""
    name = header["backbone"]
    if not str(name).startswith(COME_ALONG) and ":" not in str(name):
        raise KeyError(name)
    if not name.startswith(COME_ALONG) and network is None:
        raise CheckpointError(
            f"{path} holds a body made by {name}: give that again as `network`, as its code is yours."
        )
    body = named_body(network or name)
    body.head = None if header["n_classes"] is None else nn.Linear(body.n_features, header["n_classes"])
    return body


def save_domain(net: MultiDomainNetwork, name: str, path: str | Path, meta: Mapping[str, object] | None = None) -> Path:
    """Write one domain: its own tensors as the method packs them, the method, its options and the shared hash."""
    network = net.network(name)
    own = {key: tensor.detach() for key, tensor in net.domain_state(name).items()}
    if not own:
        raise UserError(f"Domain {name!r} is the shared body itself; store it with save_body.")
    header: dict[str, object] = {
        "kind": "domain",
        "domain": name,
        "method": net.method.name,
        "options": net.method.options(),
        "backbone": net.body.backbone,
        "width": net.body.width,
        "n_classes": network.n_classes,
        "dropout": network.dropout.p,
        "shared_hash": shared_hash(net),
        "meta": dict(meta or {}),
    }
    if net.method.given_as:  # told to whoever opens the file, but never run on its word
        header["given_as"] = net.method.given_as
    return _write(path, net.method.pack(own), header)


def load_domain(net: MultiDomainNetwork, path: str | Path) -> str:
    """Add the domain of a file to `net` and return its name. On an error `net` is as it was.

    Raises `UserError` for a file of another body, method or options, a domain that is there already, a damaged file.
    """
    header, tensors = _read(path, "domain")
    try:
        name, n_classes, dropout = header["domain"], header["n_classes"], header["dropout"]
        ours = [net.method.name, json.loads(json.dumps(net.method.options()))]
        theirs, theirs_hash = [header["method"], header["options"]], header["shared_hash"]
    except KeyError as error:
        raise CheckpointError(f"{path} says nothing about {error}: save the domain again.") from error
    if ours != theirs:
        raise CheckpointError(
            f"{path} holds a domain of method {_described(*theirs)}, the network has {_described(*ours)}: "
            f"build the network with the file's method and options."
        )
    if theirs_hash != shared_hash(net):
        raise CheckpointError(
            f"{path} holds domain {name!r} of another body (hash {theirs_hash[:12]}, this one's is "
            f"{shared_hash(net)[:12]}): load the body that the domain was trained on."
        )
    active = net.active
    net.add(name, n_classes, dropout)
    try:
        net.load_domain_state(name, net.method.unpack(tensors, net.domain_state(name)))
    except UserError as error:
        net.remove(name)
        net.active = active
        raise CheckpointError(f"{path}: {error}") from error
    return name


def read_meta(path: str | Path, kind: str | None = None) -> dict[str, Any]:
    """What a body or domain file says of itself; `["kind"]` tells which it is, `["meta"]` is what its writer gave.

    kind: "body" or "domain", where another one is to be refused.
    """
    return _read(path, kind)[0]


def body_hash(body: Body) -> str:
    """A hash of the body's tensors without its head: what domains can share of it."""
    return content_hash(_without_head(body.state_dict()).items())


def shared_hash(net: MultiDomainNetwork) -> str:
    """A hash of everything that the domains of `net` read and do not own: the body, for soft sharing its sources too."""
    shared = list(net.method.shared(net.body))
    hashes = [content_hash(_without_head(module.state_dict()).items()) for module in shared]
    return hashes[0] if len(hashes) == 1 else hashlib.sha256("".join(hashes).encode()).hexdigest()


def _without_head(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor for name, tensor in state.items() if not name.startswith("head.")}


def content_hash(tensors: Iterable[tuple[str, Tensor]], *texts: str) -> str:
    """sha256 of tensors, by name, type, shape and bits, and of texts beside them.

    >>> content_hash([("a", torch.zeros(2))]) == content_hash([("a", torch.zeros(2, 1))])
    False
    """
    digest = hashlib.sha256()
    for name, tensor in sorted(tensors):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    for text in texts:
        digest.update(f"{len(text)} {text}\n".encode())
    return digest.hexdigest()


def _described(method: str, options: Mapping[str, object]) -> str:
    listed = ", ".join(f"{key}={value!r}" for key, value in options.items())
    return f"{method} ({listed})" if listed else method


def _write(path: str | Path, tensors: Mapping[str, Tensor], header: Mapping[str, object]) -> Path:
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    header = {"format": FORMAT_VERSION, **header, "tensor_hash": content_hash(tensors.items())}
    try:
        # One key in the metadata, as safetensors writes several in any order: the same file twice is the same bytes.
        content = save(tensors, {_KEY: json.dumps({**header, "header_hash": content_hash((), json.dumps(header))})})
    except (TypeError, ValueError) as error:
        raise UserError(
            f"The metadata of {path} is no JSON ({error}): give numbers, strings, lists and dicts."
        ) from error
    write_bytes(Path(path), content)
    return Path(path)


def _read(path: str | Path, kind: str | None) -> tuple[dict[str, Any], dict[str, Tensor]]:
    if not Path(path).is_file():
        raise CheckpointError(f"There is no file {path}: check the path.")
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        found_hash = content_hash(tensors.items())
    except (SafetensorError, OSError, KeyError, AttributeError, TypeError, ValueError, RuntimeError) as error:
        raise CheckpointError(f"{path} is no whole safetensors file ({error}): copy or save it again.") from error
    text = metadata.get(_KEY)
    if text is None:
        raise CheckpointError(f"{path} was not written by mdl: give a file of save_body or save_domain.")
    damaged = f"{path} is damaged: its {{}} are not those that were written; copy or save it again."
    try:
        header = json.loads(text)
        version, kept, header_hash = header["format"], header["kind"], header.pop("header_hash", None)
    except (KeyError, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise CheckpointError(f"{path} was not written by mdl: give a file of save_body or save_domain.") from error
    if header_hash not in (None, content_hash((), json.dumps(header))):
        raise CheckpointError(damaged.format("metadata"))
    if version != FORMAT_VERSION:
        raise CheckpointError(f"{path} has format {version!r}; this version reads {FORMAT_VERSION}: save it again.")
    if kind not in (None, kept):
        raise CheckpointError(f"{path} holds a {kept}, not a {kind}: give the {kind}'s file.")
    if header.get("tensor_hash") != found_hash:
        raise CheckpointError(damaged.format("tensors"))
    return header, tensors
