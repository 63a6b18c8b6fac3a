"""Run rosidl's own generators on msg/ and srv/: the C sources and the Python package ``edgevl``.

Runs as a script in the interpreter that has ROS 2 (see messages.py), and imports nothing of this project:
``python generate.py SOURCE_ROOT OUTPUT``. OUTPUT gets ``python/edgevl`` (the package), ``c`` and
``introspection`` (C sources and headers) and ``settings.json``: {"sources", "include_dirs", "libraries",
"library_dirs": lists of strings}, the arguments of the extension module that setup.py compiles. For ROS 2
Jazzy and later.
"""

import hashlib
import json
import shutil
import sys
from importlib import metadata
from pathlib import Path

from rosidl_adapter.msg import convert_msg_to_idl
from rosidl_adapter.srv import convert_srv_to_idl
from rosidl_generator_c import generate_c
from rosidl_generator_py import generate_py
from rosidl_generator_type_description import generate_type_hash
from rosidl_pycommon import convert_camel_case_to_lower_case_underscore as snake_case
from rosidl_typesupport_fastrtps_c import generate_typesupport_fastrtps_c
from rosidl_typesupport_introspection_c import generate_c as generate_introspection_c

PACKAGE = "edgevl"
MESSAGE_PACKAGES = (
    "std_msgs",
    "geometry_msgs",
    "builtin_interfaces",
    "service_msgs",
)  # whose types the definitions nest
TYPE_SUPPORTS = ("rosidl_typesupport_fastrtps_c", "rosidl_typesupport_introspection_c")
PREFIX = Path(sys.prefix)
DISPATCH_MACROS = Path(__file__).with_name("dispatch.hpp")


def interface_definitions(source_root: Path) -> list[Path]:
    """The .msg and .srv files, sorted."""
    return sorted([*source_root.glob("msg/*.msg"), *source_root.glob("srv/*.srv")])


def dispatch_source(interfaces: list[tuple[str, str]]) -> str:
    """The C++ source of ``rosidl_typesupport_c`` for [(folder, type name), ...], folder "msg" or "srv"."""
    headers, definitions = [], []
    for folder, name in interfaces:
        for part in ("functions", "type_support"):
            headers.append(f'#include "{PACKAGE}/{folder}/detail/{snake_case(name)}__{part}.h"\n')
        if folder == "srv":
            definitions += [f"DEFINE_MESSAGE(srv, {name}_{part})\n" for part in ("Request", "Response", "Event")]
        definitions.append(f"DEFINE_{'SERVICE' if folder == 'srv' else 'MESSAGE'}({folder}, {name})\n")
    return DISPATCH_MACROS.read_text() + "".join(headers) + '\nextern "C" {\n' + "".join(definitions) + "}\n"


def visibility_header(generator: str, output: Path) -> None:
    """Fill in the export macros' header, which CMake would configure."""
    name = f"{generator}__visibility_control.h"
    text = (PREFIX / "share" / generator / "resource" / f"{name}.in").read_text(encoding="utf-8")
    text = text.replace("@PROJECT_NAME@", PACKAGE).replace("@PROJECT_NAME_UPPER@", PACKAGE.upper())
    (output / "msg" / name).write_text(text)


def generate(source_root: Path, output: Path) -> list[str]:
    """Write everything below ``output``; the C and C++ files to compile."""
    definitions = interface_definitions(source_root)
    idl_dir, python_dir = output / "idl" / PACKAGE, output / "python" / PACKAGE
    # The introspection generator gives its sources the C generator's names, hence two directories.
    c_dir, introspection_dir = output / "c" / PACKAGE, output / "introspection" / PACKAGE
    for definition in definitions:
        folder = definition.parent.name
        (idl_dir / folder).mkdir(parents=True, exist_ok=True)
        convert = convert_msg_to_idl if folder == "msg" else convert_srv_to_idl
        convert(source_root, PACKAGE, definition.relative_to(source_root), idl_dir / folder)

    names = [(path.parent.name, path.stem) for path in definitions]
    idls = [f"{folder}/{name}.idl" for folder, name in names]
    arguments = {
        "package_name": PACKAGE,
        "idl_tuples": [f"{idl_dir}:{idl}" for idl in idls],
        "ros_interface_dependencies": [],
        "target_dependencies": [],
        "ros_interface_files": [str(path) for path in definitions],
        "type_description_tuples": [f"{idl}:{(idl_dir / idl).with_suffix('.json')}" for idl in idls],
        "include_paths": [f"{package}:{PREFIX / 'share' / package}" for package in MESSAGE_PACKAGES],
    }

    def argument_file(output_dir: Path, generator: str) -> str:
        for folder in ("msg", "srv"):
            (output_dir / folder / "detail").mkdir(parents=True, exist_ok=True)
        path = output / f"{generator}.json"
        template_dir = PREFIX / "share" / generator / "resource"
        path.write_text(json.dumps({**arguments, "output_dir": str(output_dir), "template_dir": str(template_dir)}))
        return str(path)

    generate_type_hash(argument_file(idl_dir, "rosidl_generator_type_description"))
    files = generate_c(argument_file(c_dir, "rosidl_generator_c"))
    files += generate_typesupport_fastrtps_c(argument_file(c_dir, "rosidl_typesupport_fastrtps_c"))
    files += generate_introspection_c(argument_file(introspection_dir, "rosidl_typesupport_introspection_c"))
    for generator in ("rosidl_generator_c", *TYPE_SUPPORTS):
        visibility_header(generator, introspection_dir if "introspection" in generator else c_dir)
    files += generate_py(argument_file(python_dir, "rosidl_generator_py"), ["rosidl_typesupport_c"])
    (python_dir / "__init__.py").touch()  # the generator writes those of msg and srv only

    dispatch = c_dir / "dispatch.cpp"
    dispatch.write_text(dispatch_source(names))
    return [*together([Path(file) for file in files], output), str(dispatch)]


def together(files: list[Path], output: Path) -> list[str]:
    """The sources to compile, those of one kind in one file: to read their headers takes twice as long as the rest.

    Descriptions have names in common, so they stay apart.
    """
    sources, kinds = [], dict[Path, list[Path]]()
    for file in files:
        if "__description" in file.name:
            sources.append(file)
        elif file.suffix in (".c", ".cpp"):
            part, kind = file.relative_to(output).parts[0], file.name.split("__")[-1]
            kinds.setdefault(output / (f"{part}.c" if part == "python" else f"{part}_{kind}"), []).append(file)
    for path, members in kinds.items():
        path.write_text("".join(f'#include "{member}"\n' for member in members))
    return [str(path) for path in (*sources, *kinds) if path.suffix in (".c", ".cpp")]


def build_settings(sources: list[str], output: Path) -> dict[str, object]:
    """What the compiler needs: sources, include directories, libraries, and where those are."""
    import numpy as np  # its headers: the Python message code includes them for fixed-size arrays

    suffixes = ("rosidl_generator_c", "rosidl_generator_py", *TYPE_SUPPORTS)
    libraries = [f"{package}__{suffix}" for package in MESSAGE_PACKAGES for suffix in suffixes]
    libraries += ["rosidl_runtime_c", "rosidl_typesupport_c", *TYPE_SUPPORTS, "rmw", "rcutils", "fastcdr"]
    include_dirs = [str(output / "c"), str(output / "introspection"), np.get_include()]
    include_dirs += [str(path) for path in sorted((PREFIX / "include").iterdir()) if (path / path.name).is_dir()]
    return {
        "sources": sources,
        "include_dirs": include_dirs,
        "libraries": libraries,
        "library_dirs": [str(PREFIX / "lib")],
    }


def input_key(source_root: Path) -> str:
    """A hash of all that the output depends on: definitions, this program, generators, interpreter."""
    key = hashlib.sha256(f"{PREFIX} {sys.version} {metadata.version('rosidl_generator_py')}".encode())
    for path in [Path(__file__), DISPATCH_MACROS, *interface_definitions(source_root)]:
        key.update(f"{path.name}\0".encode() + path.read_bytes())
    return key.hexdigest()


def main() -> None:
    """Generate anew where anything that the output depends on has changed. settings.json is written last."""
    source_root, output = Path(sys.argv[1]).resolve(), Path(sys.argv[2]).resolve()
    settings, key = output / "settings.json", input_key(source_root)
    if settings.is_file() and json.loads(settings.read_text())["key"] == key:
        return
    if output.exists():
        shutil.rmtree(output)
    sources = generate(source_root, output)
    settings.write_text(json.dumps({"key": key, **build_settings(sources, output)}, indent=1))


if __name__ == "__main__":
    main()
