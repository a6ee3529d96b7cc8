// Questions to the daemon. Paths are relative, so that the page works below any prefix of a proxy.

export class Problem extends Error {}

async function answer(response) {
  let tree = null;
  try {
    tree = await response.json();
  } catch {
    // not JSON: the status says enough
  }
  if (!response.ok) throw new Problem(tree?.problem ?? `${response.status} ${response.statusText}`);
  return tree;
}

export const get = async (name, query = {}) =>
  answer(await fetch(`api/${name}?${new URLSearchParams(query)}`, { cache: "no-store" }));

export const post = async (name, query, body) =>
  answer(await fetch(`api/${name}?${new URLSearchParams(query)}`, { method: "POST", body }));

// Calls `each` with every line of an answer without an end, parsed; returns when it ends or is aborted.
export async function follow(name, query, signal, opened, each) {
  const response = await fetch(`api/${name}?${new URLSearchParams(query)}`, { signal });
  if (!response.ok) await answer(response);
  opened();
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const lines = (rest + value).split("\n");
    rest = lines.pop();
    for (const line of lines) if (line) each(JSON.parse(line));
  }
}
