import type { Metadata } from "next";
import { PageHeader } from "@/ui/PageHeader";

export const metadata: Metadata = { title: "Problems" };

export default function Page() {
  return <PageHeader title="Problems" />;
}
