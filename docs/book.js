// The search of a book that is opened from a folder: there a browser starts no worker and fetches no index. This
// stands in for the worker, answers the messages of search/main.js, and takes the index from a script that
// tools/book_hooks.py makes.
if (location.protocol === "file:") {
  window.Worker = class {
    constructor() {
      this.load("lunr.js", () => this.load("search_index.js", () => this.begin(window.searchIndex)));
    }

    load(name, then) {
      const script = document.createElement("script");
      script.src = `${base_url}/search/${name}`;
      script.onload = then;
      document.head.append(script);
    }

    begin({ config, docs }) {
      lunr.tokenizer.separator = new RegExp(config.separator);
      this.docs = new Map(docs.map((doc) => [doc.location, doc]));
      this.index = lunr(function () {
        this.ref("location");
        this.field("title");
        this.field("text");
        docs.forEach((doc) => this.add(doc));
      });
      this.onmessage({ data: { config } });
      this.onmessage({ data: { allowSearch: true } });
    }

    postMessage({ query }) {
      if (!query) return;
      const found = this.index.search(query).map(({ ref }) => this.docs.get(ref));
      const results = found.map((doc) => ({ ...doc, summary: doc.text.slice(0, 200) }));
      this.onmessage({ data: { results } });
    }
  };
}

// Each piece of code can be copied.
if (navigator.clipboard)
  for (const code of document.querySelectorAll(".rst-content pre > code")) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "copy";
    button.textContent = "Copy";
    button.addEventListener("click", async () => {
      await navigator.clipboard.writeText(code.textContent);
      button.textContent = "Copied";
      setTimeout(() => (button.textContent = "Copy"), 1500);
    });
    code.parentElement.append(button);
  }
