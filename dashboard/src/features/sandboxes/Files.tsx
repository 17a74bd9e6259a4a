"use client";

import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useRef, useState } from "react";
import { api, bodyOf, unlessReadOnly, type Schemas } from "@/client/api";
import { errorOf, unreachable } from "@/client/errors";
import { Ago } from "@/ui/Ago";
import { Button } from "@/ui/Button";
import { bytes } from "@/ui/format";
import { Icon } from "@/ui/Icon";
import { ErrorState, Loaded } from "@/ui/states";

/** A directory of a sandbox: go into it, download from it, upload to it. */
export function Files({ sandboxId, isOpen }: { sandboxId: string; isOpen: boolean }) {
  const [path, setPath] = useState(".");
  const picker = useRef<HTMLInputElement>(null);
  const queries = useQueryClient();
  const key = ["files", sandboxId, path];
  const { data, error, refetch } = useQuery({
    queryKey: key,
    queryFn: () => bodyOf(api.GET("/api/sandboxes/{sandbox_id}/files", { params: { path: { sandbox_id: sandboxId }, query: { path } } })),
    enabled: isOpen,
    refetchInterval: 5_000,
  });
  const upload = useMutation({
    mutationFn: (file: File) => put(fileUrl(sandboxId, path, file.name), file),
    onSuccess: () => queries.invalidateQueries({ queryKey: key }),
  });
  if (!isOpen) return <p className="p-8 text-center text-muted">Its files are gone.</p>;
  return (
    <div>
      <div className="flex items-center gap-2 border-b px-3 py-2">
        <Crumbs path={path} onOpen={setPath} />
        <input ref={picker} type="file" aria-label="File to upload" className="hidden" onChange={(event) => event.target.files?.[0] && upload.mutate(event.target.files[0])} />
        <Button className="ml-auto" isBusy={upload.isPending} onClick={() => picker.current?.click()}>
          Upload a file
        </Button>
      </div>
      {upload.error && <ErrorState error={upload.error} />}
      <Loaded data={data} error={error} onRetry={() => void refetch()}>
        {({ entries, is_truncated }) => (
          <>
            {entries.length === 0 && <p className="p-8 text-center text-muted">Nothing is here.</p>}
            <ul>
              {entries.map((entry) => (
                <FileRow key={entry.name} entry={entry} href={fileUrl(sandboxId, path, entry.name)} onOpen={() => setPath(join(path, entry.name))} />
              ))}
            </ul>
            {is_truncated && <p className="p-3 text-center text-muted">There is more than is shown.</p>}
          </>
        )}
      </Loaded>
    </div>
  );
}

function Crumbs({ path, onOpen }: { path: string; onOpen: (path: string) => void }) {
  const parts = path.split("/").filter((part) => part !== ".");
  return (
    <nav aria-label="Directory" className="flex min-w-0 flex-wrap items-center gap-1 font-mono text-xs">
      <button type="button" className="rounded px-1 hover:bg-sunken" onClick={() => onOpen(".")}>
        home
      </button>
      {parts.map((part, i) => (
        <button key={i} type="button" className="rounded px-1 hover:bg-sunken" onClick={() => onOpen(parts.slice(0, i + 1).join("/"))}>
          / {part}
        </button>
      ))}
    </nav>
  );
}

function FileRow({ entry, href, onOpen }: { entry: Schemas["SandboxFile"]; href: string; onOpen: () => void }) {
  const isDirectory = entry.kind === "directory";
  const name = (
    <span className="flex min-w-0 items-center gap-2">
      <Icon name={isDirectory ? "folder" : "file"} size={14} />
      <span className="truncate font-mono text-xs">{entry.name}</span>
    </span>
  );
  return (
    <li className="flex items-center justify-between gap-4 border-b px-4 py-1.5 last:border-b-0 hover:bg-sunken/60">
      {isDirectory ? (
        <button type="button" className="min-w-0 flex-1 text-left hover:underline" onClick={onOpen}>
          {name}
        </button>
      ) : entry.kind === "file" ? (
        <a className="min-w-0 flex-1 hover:underline" href={href} download={entry.name} title="Download">
          {name}
        </a>
      ) : (
        <span className="min-w-0 flex-1 text-muted">{name}</span>
      )}
      <span className="num text-xs text-muted">{isDirectory ? "" : bytes(entry.size_bytes)}</span>
      <span className="hidden w-24 text-right text-xs text-muted sm:block">
        <Ago time={entry.modified_at} />
      </span>
    </li>
  );
}

function join(path: string, name: string): string {
  return path === "." ? name : `${path}/${name}`;
}

function fileUrl(sandboxId: string, path: string, name: string): string {
  return `/api/sandboxes/${sandboxId}/files/${join(path, name).split("/").map(encodeURIComponent).join("/")}`;
}

async function put(url: string, file: File): Promise<void> {
  const reply = await fetch(unlessReadOnly("PUT", url), { method: "PUT", headers: { "content-type": "application/octet-stream" }, body: file }).catch((cause: unknown) => Promise.reject(unreachable(cause)));
  if (!reply.ok) throw errorOf(reply.status, await reply.json().catch(() => null));
}
