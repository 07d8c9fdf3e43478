"""Run as a process of its own: how many rows an Arrow file holds, unpacked within bounds."""

import json
import resource
import sys

import pyarrow as pa

_OWN_BYTES = 2 << 30
_DAMAGED = 3


def main(path: str, limit: int) -> int:
    """Print names and rows of an Arrow file; the exit code says why not."""
    resource.setrlimit(resource.RLIMIT_AS, (limit + _OWN_BYTES, limit + _OWN_BYTES))
    rows = size = 0
    try:
        with pa.memory_map(path) as file, pa.ipc.open_file(file) as reader:
            names = reader.schema.names
            for place in range(reader.num_record_batches):
                batch = reader.get_batch(place)
                rows += batch.num_rows
                size += batch.nbytes
                if size > limit:
                    return 1
    except (MemoryError, pa.ArrowMemoryError):
        return 1
    except (pa.ArrowException, OSError, ValueError):
        return _DAMAGED
    print(json.dumps({"names": names, "rows": rows}))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], int(sys.argv[2])))
