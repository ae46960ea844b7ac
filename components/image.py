"""An image that this project builds, or one that a registry has."""

from typing import NotRequired, TypedDict

import pulumi
import pulumi_command as command
import pulumi_docker as docker

from components.container import PYTHON


class ImageArgs(TypedDict):
    """What an image is made of."""

    reference: str
    """The whole name; of an image that is built its tag is the hash of its content."""
    recipe: NotRequired[str]
    """The folder of `images/` it is built from; left out: it is pulled."""
    base: NotRequired[str]
    """The image that the recipe's `ARG BASE` stands for."""
    labels: NotRequired[dict[str, str]]
    """Labels of an image that is built."""
    missing: NotRequired[str]
    """A new word where the host was seen without it: it is made again."""


class Image(pulumi.ComponentResource):
    """
    An image on a host, pulled or built there.

    Creates one RemoteImage and, for one that is built, the Command that stages its build
    context. Their names carry the content's hash: an image is never replaced, a new one is made
    beside it, and the old one goes after the containers that used it. Pushes nothing.
    """

    reference: str
    """The image's name."""

    def __init__(
        self, name: str, args: ImageArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("ovms-numa:index:Image", name, {"reference": args["reference"]}, opts)
        self.reference = args["reference"]
        recipe = args.get("recipe")
        if recipe is None:
            docker.RemoteImage(
                name,
                name=self.reference,
                keep_locally=True,
                triggers=_triggers(args),
                opts=_options(self, args),
            )
        else:
            self._build(f"{name}-{self.reference.rpartition(':')[2]}", recipe, args)
        self.register_outputs({"reference": self.reference})

    def _build(self, name: str, recipe: str, args: ImageArgs) -> None:
        context = command.local.Command(
            f"{name}-context",
            create=f"{PYTHON} -m images stage {recipe}",
            logging=command.local.Logging.STDERR,
            add_previous_output_in_env=False,
            opts=pulumi.ResourceOptions(parent=self),
        )
        docker.RemoteImage(
            name,
            name=self.reference,
            build=docker.RemoteImageBuildArgs(
                context=f".staged/{recipe}",
                build_args={"BASE": args["base"]} if "base" in args else {},
                labels=args.get("labels", {}),
                # Docker 20.10 has no buildx.
                use_legacy_builder=True,
            ),
            triggers=_triggers(args),
            opts=pulumi.ResourceOptions.merge(
                _options(self, args), pulumi.ResourceOptions(depends_on=[context])
            ),
        )


def _triggers(args: ImageArgs) -> dict[str, str]:
    return {"missing": args["missing"]} if "missing" in args else {}


def _options(parent: pulumi.Resource, args: ImageArgs) -> pulumi.ResourceOptions:
    """
    Return the options of an image, which is replaced only where it is missing.

    Deleted first: afterwards the deletion would take the new image, which has the same name.
    """
    return pulumi.ResourceOptions(
        parent=parent,
        delete_before_replace=True,
        ignore_changes=[] if "missing" in args else ["triggers"],
    )
