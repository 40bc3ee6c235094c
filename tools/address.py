"""Write the repository's address, which stands in _config.yml, into the files that cannot look it up.

python tools/address.py            write it
python tools/address.py --check    fail where a file has another one
"""

import re
import sys
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[1]
ADDRESS = yaml.safe_load((ROOT / "_config.yml").read_text())["repository"]["url"]

# Where it is written: the file, and the line's text around the address.
PLACES = {
    "pyproject.toml": r'(?<=Repository = ")[^"]*',
    "CITATION.cff": r'(?<=repository-code: ")[^"]*',
    "README.md": r"(?<=git clone )\S+",
    "notebooks/*.py": r'(?<=@ git\+)[^"\s]*',
}


def main() -> int:
    """See the top of this file."""
    differ = []
    for pattern, place in PLACES.items():
        for path in sorted(ROOT.glob(pattern)):
            before = path.read_text()
            after = re.sub(place, ADDRESS, before)
            if after != before:
                differ.append(path)
                if "--check" not in sys.argv:
                    path.write_text(after)
    for path in differ:
        print(f"{path.relative_to(ROOT)}: {'differs from' if '--check' in sys.argv else 'now has'} {ADDRESS}")
    return int("--check" in sys.argv and bool(differ))


if __name__ == "__main__":
    sys.exit(main())
