"""`timonier create -f`: objects out of manifests; an object that exists already is an error."""

import typer

from cli import verb
from cli.apply import suffix, write_query
from cli.manifests import read_manifests
from cli.options import DRY_RUN, FILENAMES, OUTPUT, RECURSIVE
from cli.output import check_format, format_objects
from cli.session import Session
from master.api.status import ApiError


def register(app: typer.Typer) -> None:
    verb.add(app, "create", create)


async def create(
    session: Session, filename: FILENAMES, recursive: RECURSIVE = False, output: OUTPUT = "", dry_run: DRY_RUN = "none"
) -> int:
    """Create the objects of manifests."""
    check_format(output)
    catalogue = await session.catalogue()
    manifests = [(manifest, manifest.resource(catalogue)) for manifest in read_manifests(filename, recursive=recursive)]
    query = write_query("kubectl-create", dry_run)
    code, shown = 0, []
    for manifest, resource in manifests:
        path = resource.path(session.namespace_of(manifest, resource))
        try:
            tree = manifest.tree
            if dry_run != "client":
                tree = await session.send("POST", path, manifest.tree, params=query)
        except ApiError as error:
            verb.complain(error, f'error when creating "{manifest.source}"')
            code = 1
            continue
        shown.append(tree)
        if not output:
            print(f"{resource.label((tree.get('metadata') or {}).get('name', ''))} created{suffix(dry_run)}")
    if output and shown:
        print(format_objects(shown, output, catalogue, as_list=len(shown) > 1), end="")
    return code
