import type { Metadata } from "next";
import { PageHeader } from "@/ui/PageHeader";

export const metadata: Metadata = { title: "Load Speed" };

export default function Page() {
  return <PageHeader title="Load Speed" />;
}
