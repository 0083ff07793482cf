"""Set-up before JAX loads, in processes of their own."""

import os
import subprocess
import sys


def python(code, **environment):
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("XLA_", "JAX_"))}
    return subprocess.run(
        [sys.executable, "-c", code], env=clean | environment, capture_output=True, text=True, timeout=120
    )


def test_virtual_devices_and_compile_cache(tmp_path):
    done = python(
        "import unlearnax; unlearnax.set_up(3)\nimport jax\nprint(jax.local_device_count(), "
        "jax.config.jax_compilation_cache_dir)",
        UNLEARNAX_CACHE=str(tmp_path),
    )
    count, folder = done.stdout.split(maxsplit=1)
    assert count == "3"
    assert folder.startswith(str(tmp_path / "compiled" / "jax-"))


def test_the_environment_wins(tmp_path):
    code = "import os, unlearnax; unlearnax.set_up(3); print(os.environ['XLA_FLAGS'])"
    flags = "--xla_force_host_platform_device_count=1"
    assert python(code, XLA_FLAGS=flags).stdout.strip() == flags


def test_too_late_is_said():
    done = python("import jax, unlearnax; unlearnax.set_up()")
    assert "before the first import of jax" in done.stderr
