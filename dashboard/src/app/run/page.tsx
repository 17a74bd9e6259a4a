import type { Metadata } from "next";
import { Suspense } from "react";
import { RunPage } from "@/features/run/RunPage";

export const metadata: Metadata = { title: "Run" };

export default function Page() {
  return (
    <Suspense>
      <RunPage />
    </Suspense>
  );
}
