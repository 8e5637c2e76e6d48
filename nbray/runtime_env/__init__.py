"""Runtime environments, under the names that Ray has them: what they are is said in ``runtime_env.py``."""

from nbray.runtime_env.runtime_env import RuntimeEnv, RuntimeEnvConfig

__all__ = ["RuntimeEnv", "RuntimeEnvConfig"]
