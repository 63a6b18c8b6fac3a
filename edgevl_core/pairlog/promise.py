"""What a bag's metadata.yaml promises. It comes from anywhere, and may hold anything."""

from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, Field, ValidationError

from edgevl_core.base.yaml_text import load_yaml

_MOST_BYTES = 500_000  # of a bag in three thousand files; YAML is slow to read
_Count = Annotated[int, Field(strict=True, ge=0, lt=2**63)]
_EmptyWhereNull = BeforeValidator(lambda value: [] if value is None else value)


class _Name(BaseModel):
    name: str


class _Topic(BaseModel):
    topic_metadata: _Name
    message_count: _Count


class _File(BaseModel):
    path: str
    message_count: _Count


class Promise(BaseModel):
    """The part of metadata.yaml that is looked at: files by name, and how many messages should be there."""

    relative_file_paths: Annotated[list[str], _EmptyWhereNull] = []
    files: Annotated[list[_File], _EmptyWhereNull] = []
    topics_with_message_count: Annotated[list[_Topic], _EmptyWhereNull] = []

    @property
    def names(self) -> list[str]:
        """Files of the bag: what stands before a name is left out, as a bag may be moved."""
        return list(dict.fromkeys(path.replace("\\", "/").rpartition("/")[2] for path in self.relative_file_paths))

    @property
    def by_file(self) -> dict[str, int]:
        return {file.path.rpartition("/")[2]: file.message_count for file in self.files}

    @property
    def by_topic(self) -> dict[str, int]:
        return {topic.topic_metadata.name: topic.message_count for topic in self.topics_with_message_count}


class _Metadata(BaseModel):
    rosbag2_bagfile_information: Promise


def read_promise(file: Path) -> tuple[Promise, str]:
    """What metadata.yaml says, and "" or why nothing could be read from it."""
    try:
        if not file.is_file():
            return Promise(), "is missing"
        if (size := file.stat().st_size) > _MOST_BYTES:
            return Promise(), f"is unreadable ({size} bytes, {_MOST_BYTES} are allowed)"
        content = load_yaml(file.read_text(encoding="utf-8"))
        return _Metadata.model_validate(content).rosbag2_bagfile_information, ""
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        reason = f"{'.'.join(map(str, first['loc']))[:80]}: {first['msg'][:80]}"
    except Exception as error:  # such a file can make the library raise anything
        reason = type(error).__name__
    return Promise(), f"is unreadable ({reason})"
