"""Pages opened in a browser, watched for what they say and ask for."""

# Every control as it was when the page was opened; the metrics compared keep what was chosen.
RESET = """() => {
  document.querySelectorAll('details').forEach((d) => { d.open = d.hasAttribute('data-open'); });
  document.activeElement?.blur();
  for (const i of document.querySelectorAll('input, select')) {
    if (!i.isConnected || i.closest('fieldset')) continue;
    const name = i.type === 'checkbox' ? 'checked' : 'value';
    const first = name === 'checked' ? i.defaultChecked : i.options?.[0]?.value ?? i.defaultValue;
    if (i[name] === first || (i.options && !i.options.length)) continue;
    i[name] = first;
    for (const event of ['input', 'change']) i.dispatchEvent(new Event(event));
  }
  document.querySelectorAll('.key[aria-pressed=false]').forEach((k) => k.click());
  scrollTo(0, 0);
}"""


class Visitor:
    """Opens each page once.  `trouble`: what a page said on the console, and what it asked of any network."""

    def __init__(self, browser, files):
        self.browser, self.files, self.tabs, self.trouble = browser, files, {}, []

    def __call__(self, name, width=1280, scheme="light"):
        """The tab of a page, its filter and slider as at first."""
        tab = self.tabs.get(name) or self.open(name)
        tab.set_viewport_size({"width": width, "height": 800})
        tab.emulate_media(color_scheme=scheme)
        tab.evaluate(RESET)
        return tab

    def open(self, name):
        context = self.browser.new_context(reduced_motion="reduce", permissions=["clipboard-read", "clipboard-write"])
        context.set_default_timeout(90_000)  # generous: a busy machine is no defect of the page
        url = self.files[name].as_uri()
        tab = self.tabs[name] = context.new_page()
        tab.on("console", lambda message: self.trouble.append(message.text))
        tab.on("pageerror", lambda error: self.trouble.append(str(error)))
        tab.on("request", lambda asked: self.asked(url, asked.url))
        tab.goto(url)
        return tab

    def asked(self, own, url):
        if url != own and not url.startswith(("data:", "blob:")):
            self.trouble.append(url)
