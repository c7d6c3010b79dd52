"use strict";
// The list of units: filtered and sorted here, a unit's strip drawn only while it is near the window.
(() => {
  const data = JSON.parse(document.getElementById("unit-data").textContent);
  const $ = (id) => document.getElementById(id);
  const BATCH = 40, AT_ONCE = 8;
  const TILE = 104;  // CSS pixels, as in the style sheet
  const OUTSIDE = [0, 0, 0, 184], CONTOUR = [255, 221, 0, 255];  // as in the figures
  const NO_CATEGORY = "(no label)";

  // A mask's text to one byte a pixel, 1 inside; mask_text.py says how it is written.
  function decodeMask(text) {
    const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
    const [width, height] = bytes;
    const inside = new Uint8Array(width * height), starts = [], ends = [0];
    for (let k = 2; k < bytes.length; k++) {
      const before = bytes[k] >> 6, n = starts.length;
      let start, end;
      if (before) {  // like an earlier run, a row further down
        start = starts[n - before] + width + ((bytes[k] >> 3) & 7) - 4;
        end = ends[n + 1 - before] + width + (bytes[k] & 7) - 4;
      } else {
        start = ends[n] + ((bytes[k] << 8) | bytes[++k]);
        let length = bytes[++k];
        if (length > 127) length = (length & 127) | (bytes[++k] << 7);
        end = start + length;
      }
      inside.fill(1, start, end);
      starts.push(start);
      ends.push(end);
    }
    return { width, height, inside };
  }

  // The mask at another size: bilinear, half and above is inside; the same as fit_mask in overlay.py.
  function enlarge({ width, height, inside }, w, h) {
    const place = (k, n, size) => {
      const at = Math.min(Math.max(((k + 0.5) * n) / size - 0.5, 0), n - 1), low = Math.floor(at);
      return [low, Math.min(low + 1, n - 1), at - low];
    };
    const columns = Array.from({ length: w }, (_, c) => place(c, width, w));
    const large = new Uint8Array(w * h);
    for (let r = 0; r < h; r++) {
      const [top, bottom, down] = place(r, height, h);
      for (let c = 0; c < w; c++) {
        const [left, right, across] = columns[c];
        const above = inside[top * width + left] * (1 - across) + inside[top * width + right] * across;
        const below = inside[bottom * width + left] * (1 - across) + inside[bottom * width + right] * across;
        large[r * w + c] = above * (1 - down) + below * down >= 0.5 ? 1 : 0;
      }
    }
    return large;
  }

  // A canvas to lay over the image: nothing inside the mask, a bright line around it, dark beyond.
  function shade(mask, w, h, lineWidth) {
    const canvas = document.createElement("canvas");
    canvas.width = w;
    canvas.height = h;
    const inside = enlarge(mask, w, h), pixels = new ImageData(w, h);
    const isNear = (r, c) => {
      for (let k = 1; k <= lineWidth; k++) {
        if ((c >= k && inside[r * w + c - k]) || (c + k < w && inside[r * w + c + k])) return true;
        if ((r >= k && inside[(r - k) * w + c]) || (r + k < h && inside[(r + k) * w + c])) return true;
      }
      return false;
    };
    for (let r = 0; r < h; r++) {
      for (let c = 0; c < w; c++) {
        const k = r * w + c;
        if (!inside[k]) pixels.data.set(isNear(r, c) ? CONTOUR : OUTSIDE, 4 * k);
      }
    }
    canvas.getContext("2d").putImageData(pixels, 0, 0);
    return canvas;
  }

  function drawTile(canvas, image, mask) {
    const ratio = window.devicePixelRatio || 1;
    const side = Math.round(TILE * ratio);
    canvas.width = canvas.height = side;
    const scale = side / Math.max(image.naturalWidth, image.naturalHeight);
    const w = Math.max(1, Math.round(image.naturalWidth * scale)), h = Math.max(1, Math.round(image.naturalHeight * scale));
    const x = (side - w) >> 1, y = (side - h) >> 1;
    const pen = canvas.getContext("2d");
    pen.drawImage(image, x, y, w, h);
    pen.drawImage(shade(mask, w, h, Math.round(ratio)), x, y);
    canvas.dataset.drawn = "mask";
  }

  function drawMissing(canvas) {
    const pen = canvas.getContext("2d");
    canvas.width = canvas.height = TILE;
    pen.fillStyle = "#cdcdcd";
    pen.fillRect(0, 0, TILE, TILE);
    pen.strokeStyle = "#aaa";
    pen.stroke(new Path2D(`M0 0L${TILE} ${TILE}M0 ${TILE}L${TILE} 0`));
    canvas.dataset.drawn = "missing";
  }

  function fillStrip(strip, unit) {
    if (strip.childElementCount) return;
    data.images[unit].forEach((picture, rank) => {
      const canvas = document.createElement("canvas");
      const peak = data.peaks[unit][rank];
      const text = data.names[picture] + (peak === null ? "" : `, highest activation ${peak}`);
      canvas.title = text;
      canvas.setAttribute("role", "img");
      canvas.setAttribute("aria-label", text);
      strip.append(canvas);
      if (!data.thumbnails[picture]) return drawMissing(canvas);
      const image = new Image();
      image.onload = () => drawTile(canvas, image, decodeMask(data.masks[unit][rank]));
      image.onerror = () => drawMissing(canvas);
      image.src = "data:image/jpeg;base64," + data.thumbnails[picture];
    });
    if (!data.images[unit].length) strip.append(line(data.dead[unit] ? "dead: fires nowhere" : "no image above its threshold"));
  }

  function line(text, className) {
    const p = document.createElement("p");
    p.textContent = text;
    if (className) p.className = className;
    return p;
  }

  const categoryOf = (unit) => (data.concept[unit] < 0 ? NO_CATEGORY : data.categories[data.concepts[data.concept[unit]][0]]);
  const labelOf = (unit) => (data.concept[unit] < 0 ? "" : data.concepts[data.concept[unit]][1]);
  const where = (unit) => data.populations[data.population[unit]];

  function card(unit) {
    const article = document.createElement("article");
    const facts = document.createElement("div");
    const strip = document.createElement("div");
    const [network, layer, operator, module] = where(unit);
    const label = line(labelOf(unit) || "no label", "label");
    label.title = labelOf(unit);
    if (data.concept[unit] >= 0) {
      const swatch = document.createElement("i");
      swatch.className = "swatch";
      swatch.style.background = data.colours[categoryOf(unit)];
      label.prepend(swatch);
      facts.append(label, line(`${categoryOf(unit)} · IoU ${data.iou[unit].toFixed(4)}${data.detector[unit] ? "" : " · not a detector"}`));
    } else {
      facts.append(label);
    }
    facts.append(line(`${layer} · ${operator} · unit ${data.unit[unit]}`), line(network));
    const threshold = data.threshold[unit];
    facts.append(line(`threshold ${threshold === null ? "none" : threshold}${data.dead[unit] ? " · dead" : ""}`));
    facts.title = module;
    strip.className = "strip";
    strip.dataset.unit = unit;
    article.className = data.detector[unit] ? "unit" : "unit weak";
    article.append(facts, strip);
    return article;
  }

  // Strips near the window are drawn, those far from it are emptied: thousands of canvases would fill the memory.
  // The first few are drawn at once, because observers say nothing in a page that is not on screen yet.
  const wasNear = new WeakSet();
  const nearby = new IntersectionObserver((entries) => {
    for (const { target, isIntersecting } of entries) {
      if (isIntersecting) {
        fillStrip(target, Number(target.dataset.unit));
        wasNear.add(target);
      } else if (wasNear.has(target)) {
        target.replaceChildren();
      }
    }
  }, { rootMargin: "800px 0px" });
  const atEnd = new IntersectionObserver((entries) => {
    if (entries.some((e) => e.isIntersecting)) showMore();
  }, { rootMargin: "1200px 0px" });

  let chosen = [], shown = 0;

  function showMore() {
    chosen.slice(shown, shown + BATCH).forEach((unit, k) => {
      const article = card(unit), strip = article.querySelector(".strip");
      $("list").append(article);
      if (shown + k < AT_ONCE) fillStrip(strip, unit);
      nearby.observe(strip);
    });
    shown = Math.min(shown + BATCH, chosen.length);
    atEnd.unobserve($("more"));  // observed again, it reports again where the end is still in sight
    if (shown < chosen.length) atEnd.observe($("more"));
  }

  function choose() {
    const wanted = ["network", "layer", "operator"].map((id) => $(id).value);
    const category = $("category").value, text = $("label").value.trim().toLowerCase();
    chosen = [];
    for (let unit = 0; unit < data.unit.length; unit++) {
      if ($("detectors-only").checked && !data.detector[unit]) continue;
      if (wanted.some((value, k) => value && where(unit)[k] !== value)) continue;
      if (category && categoryOf(unit) !== category) continue;
      if (text && !labelOf(unit).toLowerCase().includes(text)) continue;
      chosen.push(unit);
    }
    if ($("sort").value === "iou") chosen.sort((a, b) => data.iou[b] - data.iou[a] || a - b);
    nearby.disconnect();
    $("list").replaceChildren();
    shown = 0;
    showMore();
    const n = (count) => count.toLocaleString("en");
    $("count").textContent = chosen.length ? `${n(chosen.length)} of ${n(data.unit.length)} units` : "No unit fits these filters.";
  }

  function fill(select, name, values) {
    select.append(new Option(`all ${name}`, ""), ...[...new Set(values)].map((v) => new Option(v, v)));
  }

  ["network", "layer", "operator"].forEach((id, k) => fill($(id), id + "s", data.populations.map((p) => p[k])));
  fill($("category"), "categories", [...data.categories, NO_CATEGORY]);
  $("controls").addEventListener("input", () => {
    choose();
    if ($("list").getBoundingClientRect().top < 0) $("count").scrollIntoView({ behavior: "instant", block: "center" });
  });
  $("controls").addEventListener("submit", (event) => event.preventDefault());
  $("controls").hidden = false;
  choose();
})();
