"""Where every instance goes: NUMA node, CPUs, memory, port, address and weight."""

from planner.placement.room import FIRST_HOST_NUMBER
from planner.placement.rules import plan
from planner.plan import Placement, Plan, Unplaced

__all__ = ["FIRST_HOST_NUMBER", "Placement", "Plan", "Unplaced", "plan"]
