from django.apps import AppConfig


class WorkflowsConfig(AppConfig):
    """The engine: instances, nodes, runs, and what is observed of them."""

    name = "workflows"
    verbose_name = "Workflows"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        # Templates live below the engine and must not import it: they ask through this finder who uses them,
        # and what happens to them goes into the journal through this writer.
        from templates_app.facts import register_writer
        from templates_app.references import register_finder
        from workflows.selectors.references import instances_using_template
        from workflows.services.journal import append_template_fact

        register_finder(instances_using_template)
        register_writer(append_template_fact)
