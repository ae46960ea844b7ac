"""The image of the balancer, built as the program builds it, for benchmarks and tests."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import docker

from images.recipes import context_dir, recipe_hash
from images.stage import stage

ROOT = Path(__file__).parents[1]


@contextmanager
def nginx_image(client: docker.DockerClient, prefix: str) -> Iterator[str]:
    """
    Build the image, and remove it and its base at the end.

    Args:
        client: of the engine that builds it.
        prefix: what the tags begin with.

    Yields:
        Its tag.
    """
    tags: list[str] = []
    try:
        for recipe in ("base", "nginx"):
            stage(recipe, ROOT)
            tag = f"{prefix}/{recipe}:{recipe_hash(recipe)}"
            context = str(ROOT / context_dir(recipe))
            base = {"BASE": tags[0]} if tags else None
            client.images.build(path=context, tag=tag, buildargs=base, rm=True)
            tags.append(tag)
        yield tags[-1]
    finally:
        for tag in reversed(tags):
            client.images.remove(tag)
