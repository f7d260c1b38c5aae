/* Starts Redoc. The style elements that it makes carry this script's nonce, which is in the page's policy. */
"use strict";

(() => {
  const container = document.getElementById("redoc-container");
  Redoc.init(container.dataset.schema, { nonce: document.currentScript.nonce }, container);
})();
