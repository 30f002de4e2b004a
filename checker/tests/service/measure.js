// Measures the page as it is drawn: everything that is cut, overlaps, breaks within a word, or is too faint. Returns what is wrong.
const wrong = new Set();
const room = document.documentElement.clientWidth;
const note = (what, where) => wrong.add(`${what}: ${String(where).trim().slice(0, 60)}`);
if (document.documentElement.scrollWidth > room) note("the page scrolls sideways", document.documentElement.scrollWidth);

// Colours, as WCAG 2 defines their contrast.
const colour = text => text.match(/[\d.]+/g).map(Number);
const light = ([r, g, b]) => {
  const [x, y, z] = [r, g, b].map(it => (it /= 255) <= 0.04045 ? it / 12.92 : ((it + 0.055) / 1.055) ** 2.4);
  return 0.2126 * x + 0.7152 * y + 0.0722 * z;
};
const contrast = (a, b) => (Math.max(light(a), light(b)) + 0.05) / (Math.min(light(a), light(b)) + 0.05);
const over = (front, back, share) => front.slice(0, 3).map((it, at) => it * share + back[at] * (1 - share));
const styles = new Map();
const style = element => {
  if (!styles.has(element)) styles.set(element, getComputedStyle(element));
  return styles.get(element);
};
const behind = element => {
  for (; element; element = element.parentElement) {
    const back = colour(style(element).backgroundColor);
    if (back.length < 4 || back[3] > 0) return back;
  }
};
const page = behind(document.body);

// Texts.
let texts = 0;
const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
const range = document.createRange();
const boxes = new Map();
for (let node = walker.nextNode(); node; node = walker.nextNode()) {
  const parent = node.parentElement, text = node.data.trim();
  if (!text || parent.closest("title, defs, style") || style(parent).display === "none" || style(parent.parentElement).display === "none") continue;
  texts += 1;
  range.selectNodeContents(node);
  const chart = parent.closest("svg");
  const box = chart ? parent.getBoundingClientRect() : range.getBoundingClientRect();
  if (box.left < -0.5 || box.right > room + 0.5) note("beyond the page", text);
  if (chart) {
    const around = chart.getBoundingClientRect();
    if (box.left < around.left - 1 || box.right > around.right + 1 || box.top < around.top - 2 || box.bottom > around.bottom + 2) note("cut", text);
    if (!boxes.has(chart)) boxes.set(chart, []);
    for (const other of boxes.get(chart))
      if (box.left < other.right - 1 && other.left < box.right - 1 && box.top < other.bottom - 1 && other.top < box.bottom - 1) note("labels overlap", text);
    boxes.get(chart).push(box);
  } else {
    for (const word of node.data.matchAll(/\S+/g)) {
      // What is longer may have to break: an address, or the name of an instance.
      if (word[0].length > 20) continue;
      range.setStart(node, word.index);
      range.setEnd(node, word.index + word[0].length);
      if (new Set([...range.getClientRects()].map(it => Math.round(it.top))).size > 1) note("breaks within a word", `${word[0]} of ${text}`);
    }
  }
  const size = parseFloat(style(parent).fontSize);
  if (size < 11) note(`${size} px`, text);
  const ratio = contrast(colour(chart ? style(parent).fill : style(parent).color), behind(parent));
  if (ratio < 4.5) note(`contrast ${ratio.toFixed(2)}`, text);
  // One form of times, also where a log has another.
  if (!parent.closest(".cause, .whole, .time") && /\d\d:\d\d|\d{4}-/.test(text) && !/^(\d{4}-\d\d-\d\d|\d\d:\d\d:\d\d( to)?)$/.test(text)) note("another form of time", text);
}
for (const cell of document.querySelectorAll("td, th, dd, p, h2, .badge"))
  if (cell.scrollWidth > cell.clientWidth + 1 && style(cell).display !== "inline") note("wider than its place", cell.textContent);
for (const axis of document.querySelectorAll(".times")) {
  const forms = new Set([...axis.querySelectorAll("text")].map(it => it.textContent.replace(/\d/g, "0")));
  if (forms.size > 1 || ![...forms].every(it => ["00:00:00", "00:00", "00-00", "0000-00-00"].includes(it))) note("another form of time", [...forms]);
}

// Series and states: each has a colour and a pattern of its own, and both are seen on the page.
const patterns = new Map([...document.querySelectorAll("pattern")].map(it => [`url("#${it.id}")`, {
  name: it.id,
  colour: colour(style(it.querySelector("rect")).fill),
  lines: it.querySelector("path").getAttribute("d"),
}]));
const lab = colour => {
  const [r, g, b] = colour.map(it => (it /= 255) <= 0.04045 ? it / 12.92 : ((it + 0.055) / 1.055) ** 2.4);
  const [x, y, z] = [(0.4124 * r + 0.3576 * g + 0.1805 * b) / 0.9505, 0.2126 * r + 0.7152 * g + 0.0722 * b, (0.0193 * r + 0.1192 * g + 0.9505 * b) / 1.089]
    .map(it => it > 0.008856 ? Math.cbrt(it) : 7.787 * it + 16 / 116);
  return [116 * y - 16, 500 * (x - y), 200 * (y - z)];
};
const differ = (drawings, where) => {
  const seen = drawings.map(it => {
    const share = parseFloat(style(it).fillOpacity);
    const found = patterns.get(style(it).fill);
    if (!found) note("no pattern", where);
    return found && { ...found, drawn: over(found.colour, page, share) };
  }).filter(Boolean);
  const names = new Map(seen.map(it => [it.name, it]));
  for (const one of names.values()) {
    const ratio = contrast(one.drawn, page);
    if (ratio < 3) note(`contrast ${ratio.toFixed(2)} of ${one.name}`, where);
    for (const other of names.values()) {
      if (one.name >= other.name) continue;
      const apart = Math.hypot(...lab(one.drawn).map((it, at) => it - lab(other.drawn)[at]));
      if (apart < 15) note(`${one.name} and ${other.name} look alike (${apart.toFixed(0)})`, where);
      if (one.lines === other.lines) note(`${one.name} and ${other.name} have one pattern`, where);
    }
  }
  return seen.map(it => it.name);
};
let series = 0;
for (const section of document.querySelectorAll("section")) {
  const bands = [...section.querySelectorAll(".offset .band")];
  series = Math.max(series, bands.length);
  const drawn = differ(bands, section.id);
  if (new Set(drawn).size < drawn.length) note("series share a colour", section.id);
  const keys = [...section.querySelectorAll(".legend")].map(it => differ([...it.querySelectorAll(".key rect")], section.id));
  if (bands.length > 1 && keys[1].join() !== drawn.join()) note("the legend has other colours", section.id);
  differ([...section.querySelectorAll(".states rect")], section.id);
  for (const line of section.querySelectorAll(".limit, .mean")) {
    const ratio = contrast(colour(style(line).stroke), page);
    if (ratio < 3) note(`contrast ${ratio.toFixed(2)} of a line`, section.id);
  }
}
return { texts, series, wrong: [...wrong] };
