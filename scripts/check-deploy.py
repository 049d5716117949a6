"""Validates what is in deploy/. `make check-deploy` runs it with its tools; it needs nothing of the cluster."""

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import jsonschema
import kubernetes_validate
import yaml

deploy = Path(__file__).parent.parent / "deploy"
promtool, keda, operator = sys.argv[1:]
KUBERNETES = "1.31"


def closed(schema):
    """The schema with unknown fields refused, as `kubectl apply --validate=strict` does."""
    if isinstance(schema, list):
        return [closed(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    out = {key: closed(value) for key, value in schema.items()}
    if isinstance(out.get("properties"), dict) and "additionalProperties" not in out:
        out["additionalProperties"] = bool(schema.get("x-kubernetes-preserve-unknown-fields", False))
    return out


def custom_schemas():
    paths = [
        Path(keda, "config/crd/bases/keda.sh_scaledobjects.yaml"),
        Path(keda, "config/crd/bases/keda.sh_triggerauthentications.yaml"),
        Path(operator, "example/prometheus-operator-crd/monitoring.coreos.com_podmonitors.yaml"),
    ]
    for path in paths:
        spec = yaml.safe_load(path.read_text())["spec"]
        for version in spec["versions"]:
            schema = version["schema"]["openAPIV3Schema"]
            schema["properties"]["metadata"] = {"type": "object"}
            schema = closed(schema)
            schema["properties"]["metadata"] = {"type": "object", "additionalProperties": True}
            yield f'{spec["group"]}/{version["name"]} {spec["names"]["kind"]}', schema


def check_manifests():
    custom = dict(custom_schemas())
    for path in sorted(deploy.glob("kubernetes/*.yaml")):
        for manifest in yaml.safe_load_all(path.read_text()):
            kind = f'{manifest["apiVersion"]} {manifest["kind"]}'
            if manifest["kind"] == "Kustomization":
                for name in manifest["resources"]:
                    if not (path.parent / name).exists():
                        sys.exit(f"{path.name}: there is no {name}")
            elif kind in custom:
                jsonschema.validate(manifest, custom[kind])
            else:
                kubernetes_validate.validate(manifest, KUBERNETES, strict=True)
            print(f"ok  {path.name}: {kind}")


def check_rules():
    for verb, name in (("check", "alerts.yaml"), ("test", "alerts.test.yaml")):
        subprocess.run([promtool, verb, "rules", name], cwd=deploy / "prometheus", check=True)


def check_dashboard():
    """Prometheus's own parser reads every expression, as a recording rule."""
    panels = json.loads((deploy / "grafana/orderlane.json").read_text())["panels"]
    expressions = [target["expr"] for panel in panels for target in panel.get("targets", [])]
    rules = [
        {"record": f"dashboard:expression:{index}", "expr": re.sub(r"\$__rate_interval", "5m", expression)}
        for index, expression in enumerate(expressions)
    ]
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}, file)
        file.flush()
        subprocess.run([promtool, "check", "rules", file.name], check=True)


check_manifests()
check_rules()
check_dashboard()
