"""The models that the instances read: a volume that the project fills."""

from typing import TypedDict

import pulumi
import pulumi_command as command
import pulumi_docker as docker

from components.container import PYTHON, action


class ModelStoreArgs(TypedDict):
    """Which model, and what converts it."""

    where: dict[str, str]
    """The host, as `planner.where` tells it."""
    volume: str
    """The volume's name."""
    content_hash: str
    """Of the model's recipe."""
    settled: bool
    """The volume is there and filled: whatever else changes, nothing is converted again."""
    unseen: list[str]
    """Properties of the volume to leave as the state has them."""
    recipe: str
    """The folder of `images/` that names the model's source."""
    image: str
    """The image that converts it."""
    command: list[str]
    """The conversion's command line inside that image."""
    convert_s: int
    """Bound of the conversion in seconds."""
    labels: dict[str, pulumi.Input[str]]


class ModelStore(pulumi.ComponentResource):
    """
    A volume with a models directory laid out as OpenVINO Model Server reads it.

    Creates the volume, the Command that stages the model's source, and the Command that converts
    it into the volume. A new model is a new volume; a changed image converts nothing again.
    """

    volume: pulumi.Output[str]
    """The volume's name."""

    def __init__(
        self, name: str, args: ModelStoreArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("ovms-numa:index:ModelStore", name, {}, opts)
        child = f"{name}-{args['content_hash']}"
        labels = args["labels"]
        volume = docker.Volume(
            child,
            name=args["volume"],
            labels=[docker.VolumeLabelArgs(label=key, value=its) for key, its in labels.items()],
            opts=pulumi.ResourceOptions(
                parent=self, delete_before_replace=True, ignore_changes=args["unseen"]
            ),
        )
        self.volume = volume.name
        source = command.local.Command(
            f"{child}-source",
            create=f"{PYTHON} -m images stage {args['recipe']}",
            logging=command.local.Logging.STDERR,
            add_previous_output_in_env=False,
            opts=pulumi.ResourceOptions(parent=self),
        )
        spec = {
            **args["where"],
            "image": args["image"],
            "volume": self.volume,
            "source": f".staged/{args['recipe']}",
            "command": args["command"],
            "convert_s": args["convert_s"],
        }
        command.local.Command(
            f"{child}-prepared",
            **action("prepare", spec),
            triggers=[volume.id],
            opts=pulumi.ResourceOptions(
                parent=self,
                depends_on=[source],
                ignore_changes=["stdin"] if args["settled"] else [],
            ),
        )
        self.register_outputs({"volume": self.volume})
