import type { Metadata } from "next";
import { Suspense } from "react";
import { ProblemsPage } from "@/features/problems/ProblemsPage";

export const metadata: Metadata = { title: "Problems" };

export default function Page() {
  return (
    <Suspense>
      <ProblemsPage />
    </Suspense>
  );
}
