// Draws the diagrams of a page, if it has any: what draws them is larger than the rest of the site.
(() => {
  const blocks = document.querySelectorAll("code.language-mermaid");
  if (blocks.length === 0) return;
  const script = document.createElement("script");
  script.src = `${path_to_root}mermaid.min.js`;
  script.onload = () => {
    for (const block of blocks) {
      const diagram = document.createElement("div");
      diagram.className = "mermaid";
      diagram.textContent = block.textContent;
      block.closest("pre").replaceWith(diagram);
    }
    const isDark = !/\b(light|rust)\b/.test(document.documentElement.className);
    mermaid.initialize({ startOnLoad: false, securityLevel: "strict", theme: isDark ? "dark" : "default" });
    mermaid.run();
  };
  document.head.append(script);
})();
