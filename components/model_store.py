"""The models that the instances read: a volume that the project fills."""

from typing import TypedDict

import pulumi
import pulumi_command as command
import pulumi_docker as docker

from components.container import PYTHON, action


class ModelStoreArgs(TypedDict):
    """Which model, and what converts it."""

    docker: str
    """URL of the host's Docker engine."""
    volume: str
    """The volume's name; it ends with the hash of the model's recipe."""
    recipe: str
    """The folder of `images/` that names the model's source."""
    image: str
    """The image that converts it."""
    command: list[str]
    """The conversion's command line inside that image."""
    convert_s: int
    """Bound of the conversion in seconds."""
    labels: dict[str, str]


class ModelStore(pulumi.ComponentResource):
    """
    A volume with a models directory laid out as OpenVINO Model Server reads it.

    Creates the volume, the Command that stages the model's source, and the Command that converts
    it into the volume. A new model is a new volume; a changed image converts nothing again.
    """

    volume: str
    """The volume's name."""

    def __init__(
        self, name: str, args: ModelStoreArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("ovms-numa:index:ModelStore", name, {"volume": args["volume"]}, opts)
        self.volume = args["volume"]
        child = f"{name}-{self.volume.rpartition('-')[2]}"
        labels = args["labels"]
        volume = docker.Volume(
            child,
            name=self.volume,
            labels=[docker.VolumeLabelArgs(label=key, value=labels[key]) for key in sorted(labels)],
            opts=pulumi.ResourceOptions(parent=self, delete_before_replace=True),
        )
        source = command.local.Command(
            f"{child}-source",
            create=f"{PYTHON} -m images stage {args['recipe']}",
            logging=command.local.Logging.STDERR,
            add_previous_output_in_env=False,
            opts=pulumi.ResourceOptions(parent=self),
        )
        spec = {
            "docker": args["docker"],
            "image": args["image"],
            "volume": self.volume,
            "labels": labels,
            "source": f".staged/{args['recipe']}",
            "command": args["command"],
            "convert_s": args["convert_s"],
        }
        command.local.Command(
            f"{child}-prepared",
            **action("prepare", spec),
            triggers=[volume.id],
            opts=pulumi.ResourceOptions(parent=self, depends_on=[source], ignore_changes=["stdin"]),
        )
        self.register_outputs({"volume": self.volume})
