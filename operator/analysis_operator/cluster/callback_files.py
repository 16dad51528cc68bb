"""Reads the file that a module's `callback.configMapRef` names; users' ConfigMaps are not watched."""

from analysis_operator.cluster import resources
from analysis_operator.cluster.api import Api
from analysis_operator.decisions import accepting
from analysis_operator.decisions.observed import Callback, Module
from analysis_operator.decisions.options import Options

_KEY = "callback.py"


async def read(api: Api, module: Module, options: Options) -> Callback | None:
    """The file, or why there is none; None if the module refers to none. Raises ApiError."""
    name = accepting.configured(module.spec, options)
    if name is None:
        return None
    key = str(module.spec["callback"]["configMapRef"].get("key") or _KEY)
    found = await api.get(resources.CONFIG_MAP, module.key.namespace, name)
    if found is None:
        return Callback(missing=f"there is no ConfigMap {name}; apply it")
    text = (found.get("data") or {}).get(key)
    if not isinstance(text, str):
        return Callback(missing=f"the ConfigMap {name} has no key {key}; add it, or name another key")
    return Callback(text=text)
