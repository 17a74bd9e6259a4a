import type { Metadata } from "next";
import { BenchmarksPage } from "@/features/benchmarks/BenchmarksPage";

export const metadata: Metadata = { title: "Load Speed" };

export default function Page() {
  return <BenchmarksPage />;
}
