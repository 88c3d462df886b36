"""A folder of pictures as one HTML page: sorted by any metric, filtered by name; it asks nothing of
the network.
"""

from __future__ import annotations

import html
import json
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from facemorph.storage.files import write_whole


def write_gallery(
    rows: Sequence[Mapping[str, Any]],
    path: str | Path,
    title: str,
    summary: Mapping[str, Any] | None = None,
) -> Path:
    """Write the page.

    Args:
        rows: For each picture ``file`` (a path, or one relative to the page), ``name`` and any
            numbers.
        path: The page.
        title: Heading.
        summary: Numbers of all pictures together.

    Returns:
        The path.

    Raises:
        OutputError: It cannot be written.
    """
    path = Path(path)
    metrics = sorted({key for row in rows for key, value in row.items() if _is_number(value)})
    items = [
        {
            "src": _address(row["file"], path.parent),
            "name": str(row["name"]),
            **{key: row.get(key) if _is_number(row.get(key)) else None for key in metrics},
        }
        for row in rows
    ]
    figures = "".join(
        f"<tr><th>{html.escape(key)}</th><td>{html.escape(_shown(value))}</td></tr>"
        for key, value in (summary or {}).items()
    )
    # "<" cannot end the script element early when it is written as an escape.
    data = json.dumps({"items": items, "metrics": metrics}).replace("<", "\\u003c")
    page = (
        PAGE.replace("{{title}}", html.escape(title))
        .replace("{{figures}}", figures)
        .replace("{{data}}", data)
    )
    write_whole(path, page.encode())
    return path


def _address(file: str | Path, folder: Path) -> str:
    relative = os.path.relpath(file, folder) if Path(file).is_absolute() else str(file)
    return quote(relative.replace(os.sep, "/"))


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _shown(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


PAGE = """<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content="width=device-width">
<title>{{title}}</title><style>
body{font:15px/1.45 system-ui,sans-serif;margin:1.5rem auto;max-width:90rem;padding:0 1rem;color:#1c1c22;
background:#fafafa}
h1{font-size:1.5rem}.bar{display:flex;gap:1rem;flex-wrap:wrap;align-items:center;position:sticky;top:0;background:#fafafa;
padding:.6rem 0}#grid{display:grid;grid-template-columns:repeat(auto-fill,minmax(11rem,1fr));gap:.8rem}
figure{margin:0;background:#fff;border:1px solid #ddd;border-radius:6px;overflow:hidden}
img{width:100%;aspect-ratio:1;object-fit:contain;background:#eee;display:block}
figcaption{padding:.4rem .5rem;font-size:.8rem;overflow-wrap:anywhere}
.value{color:#555;font-variant-numeric:tabular-nums}
table{border-collapse:collapse;margin-bottom:1rem}
th,td{text-align:left;padding:.2rem .6rem;border-bottom:1px solid #ddd;
font-weight:400}td{font-variant-numeric:tabular-nums}footer{margin:2rem 0;color:#666}
</style><body><h1>{{title}}</h1><table>{{figures}}</table>
<div class=bar><label>Sort by <select id=key></select></label>
<label><input type=checkbox id=down> largest first</label>
<label>Name <input id=filter type=search placeholder="part of a name"></label><output id=count></output></div>
<div id=grid></div>
<footer>Synthetic images, made by facemorph. Do not present a morph as the photograph of a real person.</footer>
<script type="application/json" id=data>{{data}}</script><script>
const {items,metrics}=JSON.parse(document.getElementById("data").textContent);
const by=id=>document.getElementById(id),key=by("key"),down=by("down"),filter=by("filter"),grid=by("grid");
for(const name of ["name",...metrics]){const o=document.createElement("option");o.value=o.textContent=name;
key.append(o);}
function figure(item){const f=document.createElement("figure"),a=document.createElement("a"),
i=document.createElement("img"),c=document.createElement("figcaption"),v=document.createElement("div");a.href=i.src=item.src;i.loading="lazy";
i.alt=item.name;a.append(i);c.textContent=item.name;v.className="value";
v.textContent=metrics.map(m=>item[m]===null?null:m+" "+Number(item[m].toPrecision(4))).filter(Boolean).join(", ");
c.append(v);f.append(a,c);return f;}
function show(){const word=filter.value.toLowerCase(),sign=down.checked?-1:1,k=key.value;
const chosen=items.filter(i=>i.name.toLowerCase().includes(word));
chosen.sort((a,b)=>{const x=a[k],y=b[k];if(x===null||y===null)return (x===null)-(y===null);
return sign*(x<y?-1:x>y?1:0);});
grid.replaceChildren(...chosen.map(figure));by("count").textContent=chosen.length+" of "+items.length;}
for(const e of [key,down])e.addEventListener("change",show);filter.addEventListener("input",show);show();
</script></body></html>
"""
