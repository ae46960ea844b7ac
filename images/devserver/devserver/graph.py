"""
The graph.pbtxt of a text generation servable: the parts of it that the devserver uses.

Source of names and defaults: model_server's ``src/llm/llm_calculator.proto``. It is read as text,
not as a protobuf: the fields of LLMCalculatorOptions are looked for by name.
"""

import json
import re
from typing import Final

from .errors import LoadError, UsageError
from .flags import Scheduling, parse_plugin_config

_TEMPLATE: Final = """\
input_stream: "HTTP_REQUEST_PAYLOAD:input"
output_stream: "HTTP_RESPONSE_PAYLOAD:output"
node {{
  name: "LLMExecutor"
  calculator: "HttpLLMCalculator"
  input_stream: "LOOPBACK:loopback"
  input_stream: "HTTP_REQUEST_PAYLOAD:input"
  input_side_packet: "LLM_NODE_RESOURCES:llm"
  output_stream: "LOOPBACK:loopback"
  output_stream: "HTTP_RESPONSE_PAYLOAD:output"
  input_stream_info: {{
    tag_index: "LOOPBACK:0"
    back_edge: true
  }}
  node_options: {{
    [type.googleapis.com/mediapipe.LLMCalculatorOptions]: {{
      models_path: "./"
      device: "CPU"
      enable_prefix_caching: true
      cache_size: {cache_size}
    }}
  }}
  input_stream_handler {{
    input_stream_handler: "SyncSetInputStreamHandler"
    options {{
      [mediapipe.SyncSetInputStreamHandlerOptions.ext] {{
        sync_set {{
          tag_index: "LOOPBACK:0"
        }}
      }}
    }}
  }}
}}
"""


def render_graph(*, cache_size: int) -> str:
    """
    Write the graph of a model that lies beside it, on the CPU, with prefix caching.

    Args:
        cache_size: the KV cache in GB; 0 grows as needed.
    """
    return _TEMPLATE.format(cache_size=cache_size)


def parse_graph(text: str) -> Scheduling:
    """
    Read how the model of a graph is to be scheduled.

    Raises:
        LoadError: it has no text generation node, or one that this server cannot serve.
    """
    if "LLMCalculatorOptions" not in text:
        raise LoadError("graph.pbtxt has no LLMCalculatorOptions. Write one for text generation.")
    fields = _Fields("\n".join(line.split("#", 1)[0] for line in text.splitlines()))
    device = fields.text("device", "CPU")
    if device != "CPU":
        raise LoadError(f"graph.pbtxt has device {device!r}. This server runs on CPU only.")
    try:
        plugin_config = parse_plugin_config(fields.text("plugin_config", ""))
    except UsageError as error:
        raise LoadError(f"graph.pbtxt: {error}") from None
    return Scheduling(
        cache_size=fields.number("cache_size", 0),
        max_num_seqs=fields.number("max_num_seqs", 256),
        max_num_batched_tokens=fields.number("max_num_batched_tokens", 256),
        enable_prefix_caching=fields.flag("enable_prefix_caching", default=False),
        dynamic_split_fuse=fields.flag("dynamic_split_fuse", default=True),
        plugin_config=plugin_config,
    )


class _Fields:
    """Finds ``name: value`` in a text protobuf that has each name once."""

    def __init__(self, text: str) -> None:
        self._body = text

    def _value(self, name: str, pattern: str) -> str | None:
        found = re.search(rf"\b{name}\s*:\s*({pattern})", self._body)
        return found.group(1) if found else None

    def number(self, name: str, default: int) -> int:
        return int(self._value(name, r"\d+") or default)

    def flag(self, name: str, *, default: bool) -> bool:
        value = self._value(name, "true|false")
        return default if value is None else value == "true"

    def text(self, name: str, default: str) -> str:
        value = self._value(name, r"\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*'")
        if value is None:
            return default
        if value.startswith("'"):
            return value[1:-1].replace("\\'", "'")
        return str(json.loads(value))
