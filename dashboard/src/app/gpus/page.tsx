import type { Metadata } from "next";
import { Suspense } from "react";
import { JobsPage } from "@/features/jobs/JobsPage";

export const metadata: Metadata = { title: "On-Demand GPUs" };

export default function Page() {
  return (
    <Suspense>
      <JobsPage />
    </Suspense>
  );
}
