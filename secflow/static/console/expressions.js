/* Alpine's expressions without eval, so that the policy of the console (secflow/console/csp.py) needs no 'unsafe-eval'.
 *
 * Alpine turns the text of an attribute such as x-show="open && !busy" into a function by `new Function`, which a strict
 * policy forbids. This file gives it another evaluator: the expressions that unfold's templates use (names, members, calls,
 * operators, literals, assignments, arrow functions, `if`, `;`) are parsed and walked. What is not understood is an error in
 * the browser's log, and the browser tests look there. Names are those of x-data, Alpine's magics and the list GLOBALS below;
 * windows, documents and constructors are out of reach.
 *
 * It has to be loaded before Alpine starts, as UNFOLD["SCRIPTS"] does.
 */
"use strict";

(() => {
  const GLOBALS = {
    theme: () => theme,
    searchForm: () => searchForm,
    searchDropdown: () => searchDropdown,
    searchCommand: () => searchCommand,
    getCurrentTab: () => getCurrentTab,
    sortRecords: () => sortRecords,
    moveRecords: () => moveRecords,
    localStorage: () => localStorage,
    undefined: () => undefined,
    // Of the window only its address.
    window: () => ({ location: { pathname: location.pathname, search: location.search } }),
  };
  const FORBIDDEN_NAMES = new Set(["constructor", "prototype", "__proto__"]);

  const TOKEN = new RegExp(
    [
      /(?<space>\s+)/,
      /(?<number>\d+(?:\.\d+)?)/,
      /(?<text>'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*")/,
      /(?<name>[\p{L}_$][\p{L}\p{N}_$]*)/u,
      /(?<sign>===|!==|=>|==|!=|<=|>=|&&|\|\||\?\?|\?\.|\+\+|--|\+=|-=|[-+*\/%!<>=?:;,.(){}[\]])/,
    ]
      .map((part) => part.source)
      .join("|"),
    "uy",
  );

  const BINARY = [
    { "??": null, "||": null },
    { "&&": null },
    { "==": (a, b) => a == b, "!=": (a, b) => a != b, "===": (a, b) => a === b, "!==": (a, b) => a !== b },
    { "<": (a, b) => a < b, ">": (a, b) => a > b, "<=": (a, b) => a <= b, ">=": (a, b) => a >= b },
    { "+": (a, b) => a + b, "-": (a, b) => a - b },
    { "*": (a, b) => a * b, "/": (a, b) => a / b, "%": (a, b) => a % b },
  ];

  function tokens(source) {
    const found = [];
    TOKEN.lastIndex = 0;
    while (TOKEN.lastIndex < source.length) {
      const at = TOKEN.lastIndex;
      const match = TOKEN.exec(source);
      if (!match) throw new SyntaxError(`Unexpected ${source[at]} in: ${source}`);
      const [kind, text] = Object.entries(match.groups).find(([, value]) => value !== undefined);
      if (kind !== "space") found.push({ kind, text });
    }
    return found;
  }

  function allowedName(name) {
    if (FORBIDDEN_NAMES.has(String(name))) throw new TypeError(`${String(name)} is out of reach of an expression`);
    return name;
  }

  function allowedValue(value) {
    if (value === window || value === Function || value instanceof Document) {
      throw new TypeError("Windows, documents and constructors are out of reach of an expression");
    }
    return value;
  }

  /* A parsed piece is {get(scope)}; what can be assigned to has set(scope, value), a member has owner(scope). */
  class Parser {
    constructor(source) {
      this.source = source;
      this.tokens = tokens(source);
      this.position = 0;
    }

    peek(ahead = 0) {
      return this.tokens[this.position + ahead] ?? { kind: "end", text: "" };
    }

    isNext(text, ahead = 0) {
      const token = this.peek(ahead);
      return token.kind !== "text" && token.text === text;
    }

    take(text) {
      if (!this.isNext(text)) return false;
      this.position += 1;
      return true;
    }

    expect(text) {
      if (!this.take(text)) throw new SyntaxError(`${text} is expected before "${this.peek().text}" in: ${this.source}`);
    }

    name() {
      const token = this.peek();
      if (token.kind !== "name") throw new SyntaxError(`A name is expected before "${token.text}" in: ${this.source}`);
      this.position += 1;
      return allowedName(token.text);
    }

    program(end = "end") {
      const steps = [];
      while (this.peek().kind !== "end" && !this.isNext(end)) {
        if (this.take(";")) continue;
        steps.push(this.statement());
        if (this.peek().kind !== "end" && !this.isNext(end) && !this.isNext(";") && !steps.at(-1).isBlock) {
          throw new SyntaxError(`Unexpected "${this.peek().text}" in: ${this.source}`);
        }
      }
      return { get: (scope) => steps.reduce((_, step) => step.get(scope), undefined) };
    }

    statement() {
      if (!this.take("if")) return this.expression();
      this.expect("(");
      const condition = this.expression();
      this.expect(")");
      const yes = this.body();
      const no = this.take("else") ? this.body() : { get: () => undefined };
      return { isBlock: true, get: (scope) => (condition.get(scope) ? yes : no).get(scope) };
    }

    body() {
      if (!this.take("{")) return this.statement();
      const block = this.program("}");
      this.expect("}");
      return block;
    }

    expression() {
      const start = this.position;
      const names = this.parameters();
      if (names && this.take("=>")) return this.arrow(names);
      this.position = start;

      const target = this.conditional();
      for (const sign of ["=", "+=", "-="]) {
        if (!this.take(sign)) continue;
        if (!target.set) throw new SyntaxError(`Nothing can be assigned there: ${this.source}`);
        const value = this.expression();
        return {
          get: (scope) => {
            if (sign === "=") return target.set(scope, value.get(scope));
            const change = value.get(scope);
            return target.set(scope, sign === "+=" ? target.get(scope) + change : target.get(scope) - change);
          },
        };
      }
      return target;
    }

    /* The names of an arrow function, or null when there is none here. */
    parameters() {
      if (this.peek().kind === "name" && this.isNext("=>", 1)) return [this.name()];
      if (!this.take("(")) return null;
      const names = [];
      while (!this.take(")")) {
        if (names.length && !this.take(",")) return null;
        if (this.peek().kind !== "name") return null;
        names.push(this.name());
      }
      return names;
    }

    arrow(names) {
      const body = this.expression();
      return {
        get: (scope) => (...values) => {
          const own = Object.fromEntries(names.map((name, index) => [name, values[index]]));
          return body.get(Alpine.mergeProxies([own, scope]));
        },
      };
    }

    conditional() {
      const condition = this.binary(0);
      if (!this.take("?")) return condition;
      const yes = this.expression();
      this.expect(":");
      const no = this.expression();
      return { get: (scope) => (condition.get(scope) ? yes : no).get(scope) };
    }

    binary(level) {
      if (level === BINARY.length) return this.unary();
      let left = this.binary(level + 1);
      for (;;) {
        const sign = this.peek().text;
        if (this.peek().kind !== "sign" || !Object.hasOwn(BINARY[level], sign)) return left;
        this.position += 1;
        left = this.joined(sign, BINARY[level][sign], left, this.binary(level + 1));
      }
    }

    joined(sign, operation, left, right) {
      if (sign === "&&") return { get: (scope) => left.get(scope) && right.get(scope) };
      if (sign === "||") return { get: (scope) => left.get(scope) || right.get(scope) };
      if (sign === "??") return { get: (scope) => left.get(scope) ?? right.get(scope) };
      return { get: (scope) => operation(left.get(scope), right.get(scope)) };
    }

    unary() {
      if (this.take("!")) return this.changed((value) => !value);
      if (this.take("-")) return this.changed((value) => -value);
      if (this.take("+")) return this.changed((value) => +value);
      if (this.take("typeof")) return this.changed((value) => typeof value);
      const target = this.member(this.primary());
      for (const [sign, change] of [["++", 1], ["--", -1]]) {
        if (!this.take(sign)) continue;
        return {
          get: (scope) => {
            const before = target.get(scope);
            target.set(scope, before + change);
            return before;
          },
        };
      }
      return target;
    }

    changed(change) {
      const value = this.unary();
      return { get: (scope) => change(value.get(scope)) };
    }

    member(start) {
      let piece = start;
      for (;;) {
        if (this.take(".")) {
          const name = this.name();
          piece = this.property(piece, () => name, false);
        } else if (this.take("?.")) {
          const name = this.name();
          piece = this.property(piece, () => name, true);
        } else if (this.take("[")) {
          const key = this.expression();
          this.expect("]");
          piece = this.property(piece, (scope) => key.get(scope), false);
        } else if (this.take("(")) {
          piece = this.call(piece, this.list(")"));
        } else {
          return piece;
        }
      }
    }

    property(object, key, isOptional) {
      return {
        owner: (scope) => object.get(scope),
        of: (owner, scope) => (isOptional && owner == null ? undefined : allowedValue(owner[allowedName(key(scope))])),
        get(scope) {
          return this.of(object.get(scope), scope);
        },
        set: (scope, value) => (object.get(scope)[allowedName(key(scope))] = value),
      };
    }

    call(callee, values) {
      return {
        get: (scope) => {
          const owner = callee.owner ? callee.owner(scope) : undefined;
          const called = callee.owner ? callee.of(owner, scope) : callee.get(scope);
          const self = callee.owner ? owner : callee.isScoped?.(scope) ? scope : undefined;
          return allowedValue(called.apply(self, values.map((value) => value.get(scope))));
        },
      };
    }

    list(end) {
      const items = [];
      while (!this.take(end)) {
        if (items.length) this.expect(",");
        if (this.take(end)) break;
        items.push(this.expression());
      }
      return items;
    }

    primary() {
      const token = this.peek();
      if (token.kind === "number") {
        this.position += 1;
        return { get: () => Number(token.text) };
      }
      if (token.kind === "text") {
        this.position += 1;
        const text = token.text.slice(1, -1).replace(/\\(.)/gs, (_, sign) => ({ n: "\n", t: "\t" })[sign] ?? sign);
        return { get: () => text };
      }
      if (this.take("(")) {
        const inner = this.expression();
        this.expect(")");
        return inner;
      }
      if (this.take("[")) {
        const items = this.list("]");
        return { get: (scope) => items.map((item) => item.get(scope)) };
      }
      if (this.take("{")) return this.object();
      for (const [word, value] of [["true", true], ["false", false], ["null", null]]) {
        if (this.take(word)) return { get: () => value };
      }
      return this.variable(this.name());
    }

    object() {
      const entries = [];
      while (!this.take("}")) {
        if (entries.length) this.expect(",");
        if (this.take("}")) break;
        const isText = this.peek().kind === "text";
        const key = isText ? this.primary().get() : this.name();
        allowedName(key);
        entries.push([key, !isText && !this.isNext(":") ? this.variable(key) : (this.expect(":"), this.expression())]);
      }
      return { get: (scope) => Object.fromEntries(entries.map(([key, value]) => [key, value.get(scope)])) };
    }

    variable(name) {
      return {
        isScoped: (scope) => name in scope,
        get: (scope) => {
          if (name in scope) return allowedValue(scope[name]);
          if (Object.hasOwn(GLOBALS, name)) return GLOBALS[name]();
          throw new ReferenceError(`${name} is not defined`);
        },
        set: (scope, value) => (scope[name] = value),
      };
    }
  }

  const parsed = new Map();

  function parse(source) {
    if (!parsed.has(source)) parsed.set(source, new Parser(source).program());
    return parsed.get(source);
  }

  /* "width: 10px" as {width: "10px"}: Alpine sets an object by the style's own properties, which the policy allows. */
  function asStyles(value) {
    if (typeof value !== "string") return value;
    const rules = value.split(";").filter((rule) => rule.includes(":"));
    return Object.fromEntries(rules.map((rule) => [rule.slice(0, rule.indexOf(":")).trim(), rule.slice(rule.indexOf(":") + 1).trim()]));
  }

  function reported(error, element, expression) {
    console.error(`An expression of the page failed: ${error.message}`, expression, element);
  }

  /* As Alpine's own evaluators are: given an element and an expression, a function that hands the value to a receiver. */
  function evaluator(element, expression) {
    const magics = { $el: element, $styles: asStyles };
    const stack = [magics, ...Alpine.closestDataStack(element)];
    return (receiver = () => {}, { scope = {}, params = [] } = {}) => {
      try {
        const names = Alpine.mergeProxies([scope, ...stack]);
        let value =
          typeof expression === "function" ? expression.apply(names, params) : parse(expression).get(names);
        if (typeof value === "function") value = value.apply(names, params);
        if (value instanceof Promise) {
          value.then(receiver).catch((error) => reported(error, element, expression));
        } else {
          receiver(value);
        }
      } catch (error) {
        reported(error, element, expression);
      }
    };
  }

  document.addEventListener("alpine:init", () => {
    Alpine.setEvaluator(evaluator);
    Alpine.mapAttributes(({ name, value }) =>
      name === "x-bind:style" || name === ":style" ? { name, value: `$styles(${value})` } : { name, value },
    );
  });

  // htmx: neither code in attributes nor a style element of its own.
  htmx.config.allowEval = false;
  htmx.config.includeIndicatorStyles = false;
})();
