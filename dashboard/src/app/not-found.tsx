import Link from "next/link";
import { Empty } from "@/ui/states";

export default function NotFound() {
  return (
    <Empty title="There is no such page">
      <Link className="text-accent hover:underline" href="/">
        Show all runs
      </Link>
    </Empty>
  );
}
