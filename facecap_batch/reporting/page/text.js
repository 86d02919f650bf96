"use strict";
// Elements and numbers as text. Whatever comes from outside (names, errors) becomes a text node or an attribute's
// value here, and is never read as HTML.

/**
 * Makes an element.
 * @param {string} tag its name
 * @param {Object} attributes by name; `on…` are listeners, null and false leave one out
 * @param {...(Node|string|number|null)} children text becomes text nodes
 */
function make(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value !== null && value !== false && value !== undefined) made.setAttribute(name, value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

/** Seconds as a clock shows them: 0:07, 12:34, 3:00:00; with `digits`, fractions of a second, too. */
function clockText(seconds, digits = 0) {
  const factor = 10 ** digits;
  const whole = Math.round(Math.max(0, seconds) * factor);
  const rest = whole % (60 * factor);
  const minutes = Math.floor(whole / (60 * factor));
  const text = (rest / factor).toFixed(digits).padStart(digits ? 3 + digits : 2, "0");
  if (minutes < 60) return `${minutes}:${text}`;
  return `${Math.floor(minutes / 60)}:${String(minutes % 60).padStart(2, "0")}:${text}`;
}

/** A length of time in words: 42 s, 12 min, 3.4 h. */
function spanText(seconds) {
  if (seconds < 90) return `${Math.round(seconds)} s`;
  if (seconds < 90 * 60) return `${Math.round(seconds / 60)} min`;
  return `${(seconds / 3600).toFixed(1)} h`;
}

/** A count with thin spaces between thousands. */
function countText(count) {
  return String(count).replace(/\B(?=(\d{3})+$)/g, "\u202f");
}

/** A share 0..1 in per cent; what is small keeps a digit, so that it does not look like nothing. */
function percentText(share) {
  const percent = 100 * share;
  return `${percent > 0 && percent < 9.95 ? percent.toFixed(1) : Math.round(percent)} %`;
}

/** An event's or a person's name in words: brow_raise → brow raise. */
function wordsOf(name) {
  return name.replaceAll("_", " ");
}

/** A canvas as large as its pixels need, and its context, in CSS pixels. */
function sizedCanvas(canvas, width, height) {
  const scale = window.devicePixelRatio || 1;
  canvas.width = Math.max(1, Math.round(width * scale));
  canvas.height = Math.max(1, Math.round(height * scale));
  const context = canvas.getContext("2d");
  context.setTransform(scale, 0, 0, scale, 0, 0);
  return context;
}
