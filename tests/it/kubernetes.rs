//! What comes with the gateway for Kubernetes.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Deserialize;
use serde_yaml::Value;

use crate::support::aegis;
use crate::support::gateway::directory;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/kubernetes")
}

/// All objects of a file.
fn objects(file: &str) -> Vec<Value> {
    let text = fs::read_to_string(folder().join(file)).unwrap();
    serde_yaml::Deserializer::from_str(&text).map(|document| Value::deserialize(document).unwrap()).collect()
}

#[test]
fn the_image_that_it_runs_is_said_in_one_place() {
    let image = &objects("deployment.yaml").remove(0)["spec"]["template"]["spec"]["containers"][0]["image"];
    let images = objects("kustomization.yaml").remove(0)["images"].clone();
    assert_eq!(&images[0]["name"], image);
}

fn resources() -> Vec<String> {
    let all = objects("kustomization.yaml").remove(0);
    all["resources"].as_sequence().unwrap().iter().map(|name| name.as_str().unwrap().to_owned()).collect()
}

#[test]
fn every_object_is_one_that_kubernetes_takes() {
    let tools = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools/kubernetes-validate");
    let script = "
import sys, yaml, kubernetes_validate
for file in sys.argv[1:]:
    for document in yaml.safe_load_all(open(file)):
        kubernetes_validate.validate(document, '1.33', strict=True)
        print(document['kind'], document['metadata']['name'])
";
    let files: Vec<PathBuf> = resources().iter().map(|name| folder().join(name)).collect();
    let output = Command::new("python3").args(["-c", script]).args(files).env("PYTHONPATH", tools).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    for object in [
        "ConfigMap aegis",
        "Secret aegis",
        "Deployment aegis",
        "Service aegis",
        "HorizontalPodAutoscaler aegis",
        "PodDisruptionBudget aegis",
        "Service redis",
        "StatefulSet redis",
        "Job redis-cluster",
    ] {
        assert!(said.lines().any(|line| line == object), "{object}: {said}");
    }
}

#[test]
fn its_config_is_good_and_its_probes_are_those_of_the_gateway() {
    let config = objects("config.yaml").remove(0)["data"]["aegis.yaml"].as_str().unwrap().to_owned();
    let directory = directory();
    let secrets = directory.join("secrets");
    fs::create_dir(&secrets).unwrap();
    for (name, value) in objects("secrets.yaml").remove(0)["stringData"].as_mapping().unwrap() {
        fs::write(secrets.join(name.as_str().unwrap()), value.as_str().unwrap()).unwrap();
    }
    fs::write(directory.join("aegis.yaml"), config.replace("/etc/aegis/secrets", secrets.to_str().unwrap())).unwrap();
    let output = aegis(&["check", "-c"]).arg(directory.join("aegis.yaml")).output().unwrap();
    let warnings = String::from_utf8_lossy(&output.stderr);
    let are_of_samples = warnings.lines().all(|line| line.contains(": this is a sample that everybody knows"));
    assert!(output.status.success() && are_of_samples && warnings.lines().count() == 3, "{output:?}");

    let config: Value = serde_yaml::from_str(&config).unwrap();
    let deployment = objects("deployment.yaml").remove(0);
    let pod = &deployment["spec"]["template"]["spec"];
    let container = &pod["containers"][0];
    for (probe, path) in
        [("startupProbe", "/gateway/livez"), ("livenessProbe", "/gateway/livez"), ("readinessProbe", "/gateway/readyz")]
    {
        assert_eq!(container[probe]["httpGet"]["path"], path);
    }
    let seconds = |value: &Value| value.as_str().unwrap().trim_end_matches('s').parse::<u64>().unwrap();
    let end = seconds(&config["shutdown"]["drain"]) + seconds(&config["shutdown"]["timeout"]);
    assert!(pod["terminationGracePeriodSeconds"].as_u64().unwrap() > end, "it is killed before it has ended");
    let mounts = container["volumeMounts"].as_sequence().unwrap();
    assert!(mounts.iter().all(|mount| mount["subPath"].is_null()), "what is mounted by subPath never changes");
}
