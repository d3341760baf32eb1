"""What endpoints (implementations of `serve`) import beside `attnlab.bench`: requests, services and answers."""

from . import openai as openai
from .asked import Asked as Asked
from .asked import Message as Message
from .client import drive as drive
from .endpoint import Endpoint as Endpoint
from .endpoint import Part as Part
from .endpoint import UnreadableAnswer as UnreadableAnswer
from .endpoint import Usage as Usage
from .endpoint import Whole as Whole
from .failures import Failure as Failure
from .load import Load as Load
from .log import Arrivals as Arrivals
from .log import Served as Served
from .log import ServedLog as ServedLog
from .service import Limits as Limits
from .service import Retries as Retries
from .service import Service as Service

__all__ = [
    "Arrivals",
    "Asked",
    "Endpoint",
    "Failure",
    "Limits",
    "Load",
    "Message",
    "Part",
    "Retries",
    "Served",
    "ServedLog",
    "Service",
    "UnreadableAnswer",
    "Usage",
    "Whole",
    "drive",
    "openai",
]
