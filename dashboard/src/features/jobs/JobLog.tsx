"use client";

import { useQuery } from "@tanstack/react-query";
import { useMemo, useState } from "react";
import { api, bodyOf } from "@/client/api";
import { CopyButton } from "@/ui/CopyButton";
import { SearchInput } from "@/ui/SearchInput";
import { Loaded } from "@/ui/states";
import { VirtualLines } from "@/ui/VirtualLines";

const EVERY_MS = 2_000;
const ANSI = /\u001b\[[0-9;?]*[A-Za-z]/g;

/** The end of a job's log (the server keeps showing the last 64 KiB), followed while it is alive. */
export function JobLog({ jobId, isLive }: { jobId: string; isLive: boolean }) {
  const [search, setSearch] = useState("");
  const { data, error, refetch } = useQuery({
    queryKey: ["job", jobId],
    queryFn: () => bodyOf(api.GET("/api/training/jobs/{job_id}", { params: { path: { job_id: jobId } } })),
    refetchInterval: isLive ? EVERY_MS : false,
  });
  const text = useMemo(() => data?.logs.replace(ANSI, "") ?? "", [data]);
  const lines = useMemo(() => text.split("\n").filter((line) => line.toLowerCase().includes(search.toLowerCase())), [text, search]);
  return (
    <Loaded data={data} error={error} onRetry={() => void refetch()}>
      {() => (
        <div className="panel overflow-hidden">
          <div className="flex items-center gap-2 border-b p-2">
            <SearchInput value={search} onChange={setSearch} label="Search the log" />
            <span className="num ml-auto text-muted">{lines.length.toLocaleString("en")} lines</span>
            <CopyButton text={text} label="Copy the log" />
          </div>
          {text.trim() === "" ? (
            <p className="p-8 text-center text-muted">It has printed nothing.</p>
          ) : (
            <VirtualLines label={`Log of ${jobId}`} lines={lines} keyOf={(_, i) => i} render={(line) => <pre className="px-3 py-px font-mono text-xs break-all whitespace-pre-wrap">{line || " "}</pre>} />
          )}
        </div>
      )}
    </Loaded>
  );
}
