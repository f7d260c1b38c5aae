def test_smoke(member):
    t = member.send("POST", "/job-templates", {"name": "j", "project_id": "p1", "containers": [{"name": "c", "image": "x"}]}, status=201)
    a = member.send("POST", "/app-templates", {"name": "a", "project_id": "p1", "containers": [{"name": "c", "image": "x"}], "service_ports": [{"name": "h", "port": 80, "target_port": 80}]}, status=201)
    got = member.send("POST", "/workflow-instances", {"name": "flow", "project_id": "p1", "nodes": [
        {"node_type": "job", "template_id": t["id"], "name": "one", "input_env_vars": [{"name": "T", "source_node_id": "two"}]},
        {"node_type": "app", "template_id": a["id"], "name": "two", "ref": "2"}],
        "edges": [{"edge_id": "e", "source": "2", "target": "one"}]}, status=201)
    import json; print(json.dumps(got, indent=1))
    print(member.read("/statistics"))
    print(member.read("/workflow-instances")["total"])
