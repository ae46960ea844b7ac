"""The memory that one instance needs: weights, KV cache, and what the server takes beside them."""

from dataclasses import dataclass

from planner.settings import Settings
from planner.settings.models import MIB_PER_GB, PREPARED_CACHE_GB, PREPARED_WEIGHTS_MIB

# A limit moves in steps of this, so that weights measured again replace no container.
_STEP_MIB = 256

# Libraries, tokenizers, connections; what is computed between layers grows with the model.
_LEAST_OVERHEAD_MIB, _MOST_OVERHEAD_MIB = 512, 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFiles:
    """
    What the files of a stack's models say, where they are on this machine.

    Attributes:
        weights_mib: the size of the weights, in MiB, rounded up. A server may make more of them
            in memory.
        cache_gb: the KV cache that their graph.pbtxt files ask for, in GB; None: they do not say,
            or let it grow.
    """

    weights_mib: int
    cache_gb: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """
    The memory that each instance of a stack needs, in MiB.

    Attributes:
        stated: the whole, where ``models.memory-mib`` says it.
        weights: None: not known.
        mapped: the part of the weights that instances share, as they map files of one page cache.
        weights_are_files: the weights are only known as the size of their files.
        cache: KV cache; None: it is not known, or grows as requests need it.
        cache_is_from_files: the cache is known from the files only.
        overhead: what the server takes beside both.
        cache_key: where the server reads the size of the cache.
        cache_setting: the setting that says it.
    """

    stated: int | None
    weights: int | None
    mapped: int
    weights_are_files: bool
    cache: int | None
    cache_is_from_files: bool
    overhead: int
    cache_key: str
    cache_setting: str

    @property
    def least(self) -> int | None:
        """What an instance needs at least; None: not known."""
        if self.stated is not None or self.weights is None:
            return self.stated
        return self.weights + (self.cache or 0) + self.overhead

    def together(self, instances: int) -> int | None:
        """What *instances* on the same memory need at least; None: not known."""
        if self.least is None:
            return None
        return self.mapped + instances * (self.least - self.mapped)

    def each_of(self, room: int, instances: int) -> int:
        """What each of *instances* may need at most where there are *room* MiB for all."""
        return (room - self.mapped) // instances + self.mapped

    @property
    def limit(self) -> int | None:
        """
        What a container is limited to; None: nothing.

        Only what the settings say counts: files may be on the machine of one operator and not on
        that of another.
        """
        if self.least is None or (self.stated is None and self.unknown_keys):
            return None
        return -(-self.least // _STEP_MIB) * _STEP_MIB

    @property
    def unknown_keys(self) -> tuple[str, ...]:
        """The settings that say what is not known."""
        weights = ("models.weights-mib",) if self.weights_are_files else ()
        known = self.cache is not None and not self.cache_is_from_files
        return weights if known else (*weights, self.cache_setting)

    @property
    def words(self) -> str:
        """The sum with its parts."""
        if self.stated is not None:
            return f"{self.stated} MiB (models.memory-mib)"
        weights = f"{'files of the ' if self.weights_are_files else ''}weights {self.weights}"
        cache = "" if self.cache is None else f" + KV cache {self.cache}"
        return f"{self.least} MiB ({weights}{cache} + overhead {self.overhead})"

    def largest_cache(self, room: int) -> str:
        """
        Say which KV cache would fit, as a sentence or nothing where that cannot be told.

        Args:
            room: what each instance may have at most, in MiB.
        """
        without = None if self.least is None else self.least - (self.cache or 0)
        if without is None or (self.stated is not None and self.cache is None):
            return ""
        fits = (room - without) // MIB_PER_GB
        if fits < 1:
            return "Not even a KV cache of 1 GB fits. "
        return f"The largest KV cache that fits is {fits} GB ({self.cache_key}). "


def demand_of(settings: Settings, files: ModelFiles | None) -> Demand:
    """
    Tell what an instance needs.

    Args:
        settings: of the stack.
        files: of its models, where they can be read; settings win over them.
    """
    models = settings.models
    prepared = models.directory == "prepared"
    known = PREPARED_WEIGHTS_MIB if prepared else None
    weights = models.weights_mib or known or (files.weights_mib if files else None)
    cache_gb, cache_from_files = _cache_gb(settings, files)
    overhead = models.overhead_mib
    if overhead is None:
        overhead = min(_MOST_OVERHEAD_MIB, _LEAST_OVERHEAD_MIB + (weights or 0) // 2)
    from_files = not models.weights_mib and not known
    # What a setting says, an instance needs; of files it is not known what stays mapped, so that
    # no stack is refused for more than it needs at least.
    mapped = from_files and models.memory_mib is None and not settings.private_weights
    return Demand(
        stated=models.memory_mib,
        weights=weights,
        mapped=(weights or 0) if mapped else 0,
        weights_are_files=from_files,
        # A cache of 0 GB is one that grows.
        cache=cache_gb * MIB_PER_GB if cache_gb else None,
        cache_is_from_files=cache_from_files,
        overhead=overhead,
        cache_key="models.single.cache-size" if models.single else "cache_size in graph.pbtxt",
        cache_setting="models.single.cache-size" if models.single else "models.cache-size",
    )


def _cache_gb(settings: Settings, files: ModelFiles | None) -> tuple[int | None, bool]:
    """Return the cache in GB, and whether only the files say it."""
    models = settings.models
    if models.single is not None:
        return models.single.cache_size, False
    if models.cache_size is not None:
        return models.cache_size, False
    if models.directory == "prepared":
        return PREPARED_CACHE_GB, False
    return (files.cache_gb, True) if files else (None, False)
