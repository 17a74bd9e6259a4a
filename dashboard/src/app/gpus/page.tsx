import type { Metadata } from "next";
import { PageHeader } from "@/ui/PageHeader";

export const metadata: Metadata = { title: "On-Demand GPUs" };

export default function Page() {
  return <PageHeader title="On-Demand GPUs" />;
}
