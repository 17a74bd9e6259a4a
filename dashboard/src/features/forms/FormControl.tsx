import { Field, INPUT } from "@/ui/Field";
import { number } from "@/ui/format";
import { Prose } from "@/ui/Prose";
import { labelOf, type FormField } from "./fields";

/** Fields that mean "never" when they are not given. */
const LIMITS = new Set(["max_steps", "max_hours", "target_reward", "max_cost_usd"]);

interface Props {
  field: FormField;
  value: string;
  error: string | undefined;
  onChange: (value: string) => void;
}

/** The control of one field; its default is shown where nothing is typed. */
export function FormControl({ field, value, error, onChange }: Props) {
  const shown = defaultText(field);
  return (
    <Field label={labelOf(field.path)} hint={<Prose text={[field.about, bounds(field)].filter(Boolean).join(" ")} />} error={error}>
      {(control) =>
        field.kind === "choice" || field.kind === "boolean" ? (
          <select {...control} name={field.path} className={INPUT} value={value} onChange={(event) => onChange(event.target.value)}>
            <option value="">{shown || "any"}</option>
            {(field.choices ?? ["true", "false"]).filter((choice) => String(choice) !== shown).map((choice) => (
              <option key={choice}>{choice}</option>
            ))}
          </select>
        ) : (
          <input {...control} name={field.path} className={INPUT} value={value} placeholder={shown || (LIMITS.has(field.path) ? "no limit" : "decided for you")} inputMode={field.kind === "string" || field.kind === "json" ? "text" : "decimal"} autoComplete="off" spellCheck={false} onChange={(event) => onChange(event.target.value)} />
        )
      }
    </Field>
  );
}

function defaultText(field: FormField): string {
  const { default: value } = field;
  if (value === null || value === undefined) return "";
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}

function bounds({ min, max }: FormField): string {
  if (min === undefined && max === undefined) return "";
  if (max === undefined) return `From ${number(min)}.`;
  return min === undefined ? `Up to ${number(max)}.` : `${number(min)} to ${number(max)}.`;
}
