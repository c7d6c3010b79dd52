// Images with a unit's mask on them. Each image is in the page (or the folder beside it) once, and drawn when it is in sight.
const OUTSIDE = "rgb(0 0 0 / 50%)", OUTLINE = "#ffdd00";
const AROUND = [[-1, -1], [0, -1], [1, -1], [-1, 0], [1, 0], [-1, 1], [0, 1], [1, 1]];
const lines = {};

function linesOf(id) {
  lines[id] = lines[id] || byId(id).textContent.split("\n");
  return lines[id];
}

function sourceOf(kind, number) {
  if (data.assets !== null) {
    return data.stored[kind][number] ? `${data.assets}${kind}/${number}.${kind === "images" ? "jpg" : "png"}` : "";
  }
  const text = linesOf(kind)[number];
  return text && `data:image/${kind === "images" ? "jpeg" : "png"};base64,${text}`;
}

// The pictures used last stay decoded; null for one that is not there.
const decoded = new Map();
function load(kind, number) {
  const key = `${kind} ${number}`;
  let picture = decoded.get(key);
  decoded.delete(key);
  if (!picture) {
    const source = sourceOf(kind, number);
    picture = !source ? Promise.resolve(null) : new Promise((resolve) => {
      const image = new Image();
      image.onload = () => resolve(image);
      image.onerror = () => resolve(null);
      image.src = source;
    });
  }
  decoded.set(key, picture);
  if (decoded.size > 600) decoded.delete(decoded.keys().next().value);
  return picture;
}

function sheetOf(w, h) {
  const canvas = document.createElement("canvas");
  canvas.width = w;
  canvas.height = h;
  const pen = canvas.getContext("2d");
  pen.imageSmoothingQuality = "high";
  return [canvas, pen];
}

// Dark outside the mask, and a bright line around it. The mask is white inside and transparent outside.
function drawMask(pen, w, h, masks, row, rank, lineWidth) {
  const side = data.maskSide;
  const stamp = (target, dx, dy) => target.drawImage(masks, rank * side, row * side, side, side, dx, dy, w, h);
  const [dark, darkPen] = sheetOf(w, h);
  darkPen.fillStyle = OUTSIDE;
  darkPen.fillRect(0, 0, w, h);
  darkPen.globalCompositeOperation = "destination-out";
  stamp(darkPen, 0, 0);
  const [line, linePen] = sheetOf(w, h);
  for (const [dx, dy] of AROUND) stamp(linePen, dx * lineWidth, dy * lineWidth);
  linePen.globalCompositeOperation = "source-in";
  linePen.fillStyle = OUTLINE;
  linePen.fillRect(0, 0, w, h);
  linePen.globalCompositeOperation = "destination-out";
  stamp(linePen, 0, 0);
  pen.drawImage(dark, 0, 0);
  pen.drawImage(line, 0, 0);
}

function drawMissing(canvas) {
  const pen = canvas.getContext("2d");
  canvas.width = canvas.height = 100;
  pen.fillStyle = "#cdcdcd";
  pen.fillRect(0, 0, 100, 100);
  pen.strokeStyle = "#8a8a8a";
  pen.stroke(new Path2D("M0 0L100 100M0 100L100 0"));
  canvas.dataset.drawn = "missing";
}

// picture: { image, unit, rank }; without a unit the image alone. side: CSS pixels of the longer side.
async function draw(canvas, picture, side) {
  const withMask = picture.unit !== undefined && state.masks === "on";
  const wanted = [load("images", picture.image)];
  const [sheet, row] = withMask ? units.sheet[picture.unit] : [0, 0];
  if (withMask) wanted.push(load("masks", sheet));
  const [image, masks] = await Promise.all(wanted);
  if (!image) return drawMissing(canvas);
  const ratio = window.devicePixelRatio || 1;
  const scale = (side * ratio) / Math.max(image.naturalWidth, image.naturalHeight);
  const w = Math.max(1, Math.round(image.naturalWidth * scale)), h = Math.max(1, Math.round(image.naturalHeight * scale));
  canvas.width = w;
  canvas.height = h;
  const pen = canvas.getContext("2d");
  pen.drawImage(image, 0, 0, w, h);
  if (withMask && masks) drawMask(pen, w, h, masks, row, picture.rank, Math.max(1, Math.min(3, Math.round(side / 110))) * ratio);
  canvas.dataset.drawn = withMask && masks ? "mask" : "image";
}

// Drawn while near the window, emptied far from it: thousands of canvases would fill the memory.
const drawable = new WeakMap();
const nearby = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) {
    if (isIntersecting) drawable.get(target)();
    else if (target.dataset.drawn) {
      target.width = target.height = 1;
      delete target.dataset.drawn;
    }
  }
}, { rootMargin: "600px 0px", scrollMargin: "600px 0px" });

function pictureText({ image, unit, rank }) {
  const peak = unit === undefined ? null : units.peaks[unit][rank];
  return data.imageNames[image] + (peak === null ? "" : `, highest activation ${peak}`);
}

// A picture that opens large; `all` are those to leaf through, this one among them.
function tile(picture, side, all) {
  const canvas = element("canvas", { role: "img", "aria-label": pictureText(picture) });
  canvas.width = canvas.height = 1;
  const button = element("button", { type: "button", className: "tile", title: pictureText(picture) }, [canvas]);
  button.style.setProperty("--side", `${side}px`);
  drawable.set(canvas, () => draw(canvas, picture, side));
  nearby.observe(canvas);
  button.addEventListener("click", (event) => {
    event.stopPropagation();
    enlarge(all, all.indexOf(picture));
  });
  return button;
}

const picturesOf = (unit) => units.images[unit].map((image, rank) => ({ image, unit, rank }));

// The large picture.
let leafing = { all: [], at: 0 };
function enlarge(all, at) {
  leafing = { all, at: (at + all.length) % all.length };
  const picture = all[leafing.at];
  byId("large-name").textContent = pictureText(picture);
  byId("large-masks").closest("label").hidden = picture.unit === undefined;
  byId("large-masks").checked = state.masks === "on";
  byId("large-place").textContent = `${leafing.at + 1} of ${all.length}`;
  const side = Math.min(innerWidth - 48, innerHeight - 170, 720);
  draw(byId("large-picture"), picture, side);
  if (!byId("large").open) byId("large").showModal();
}

function startPictures() {
  const leaf = (by) => enlarge(leafing.all, leafing.at + by);
  byId("large-before").addEventListener("click", () => leaf(-1));
  byId("large-after").addEventListener("click", () => leaf(1));
  byId("large-close").addEventListener("click", () => byId("large").close());
  byId("large-masks").addEventListener("change", (event) => {
    change({ masks: event.target.checked ? "on" : "off" });
    leaf(0);
  });
  byId("large").addEventListener("click", (event) => event.target === byId("large") && byId("large").close());
  byId("large").addEventListener("keydown", (event) => {
    if (event.key === "ArrowLeft") leaf(-1);
    if (event.key === "ArrowRight") leaf(1);
  });
}
