"""A window acts like a list and like an ndarray, padded as the seed system's 5.2 says, and never changes."""

import copy
import json
import pickle
from typing import Any

import numpy as np
import orjson
import pytest

from analysis_module.spec import Padding
from analysis_worker.engine import views
from tests import builders
from tests.unit.analysis_worker.engine import padding_table
