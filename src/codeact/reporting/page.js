"use strict";
(() => {
  const root = document.documentElement;

  // A figure names colours as CSS variables; Plotly needs their values in the present scheme.
  const resolve = (value, style) => {
    if (typeof value === "string") {
      const match = /^var\((--[\w-]+)\)$/.exec(value);
      return match ? style.getPropertyValue(match[1]).trim() : value;
    }
    if (Array.isArray(value)) return typeof value[0] === "number" ? value : value.map((item) => resolve(item, style));
    if (value === null || typeof value !== "object") return value;
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, resolve(item, style)]));
  };

  const config = {
    responsive: true,
    displaylogo: false,
    displayModeBar: "hover",
    modeBarButtons: [["zoom2d", "pan2d", "resetScale2d", "toImage"]],
  };

  const draw = () => {
    const style = getComputedStyle(root);
    for (const place of document.querySelectorAll("[data-chart]")) {
      const figure = JSON.parse(document.getElementById("chart-" + place.dataset.chart).textContent);
      const resolved = resolve(figure, style);
      resolved.layout.font.family = getComputedStyle(document.body).fontFamily;
      Plotly.react(place, resolved.data, resolved.layout, config);
    }
  };

  draw();
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
})();
