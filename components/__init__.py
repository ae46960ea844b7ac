"""The components of a stack: they declare what the planner decided."""

from components.balancer import Balancer, BalancerArgs
from components.fleet import Fleet, FleetArgs
from components.image import Image, ImageArgs
from components.model_server import InstanceArgs, ModelServer
from components.model_store import ModelStore, ModelStoreArgs
from components.stack import declare_stack

__all__ = [
    "Balancer",
    "BalancerArgs",
    "Fleet",
    "FleetArgs",
    "Image",
    "ImageArgs",
    "InstanceArgs",
    "ModelServer",
    "ModelStore",
    "ModelStoreArgs",
    "declare_stack",
]
