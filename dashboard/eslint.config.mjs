import hooks from "eslint-plugin-react-hooks";
import ts from "typescript-eslint";

export default ts.config(
  { ignores: [".next/", "out/", "node_modules/", "test-results/", "src/client/schema.ts", "next-env.d.ts", "public/", "scripts/", "*.mjs"] },
  ...ts.configs.strict,
  hooks.configs.flat.recommended,
  {
    rules: {
      "max-lines": ["error", { max: 250, skipBlankLines: true }],
      "react-hooks/set-state-in-effect": "off",
      "react-hooks/refs": "off",
      "@typescript-eslint/no-dynamic-delete": "off",
      "@typescript-eslint/no-non-null-assertion": "error",
    },
  },
);
