import {
  BinaryOperationNode,
  ColumnNode,
  type KyselyPlugin,
  type OperationNode,
  OperationNodeTransformer,
  type PluginTransformQueryArgs,
  type PluginTransformResultArgs,
  PrimitiveValueListNode,
  type QueryResult,
  ReferenceNode,
  type RootOperationNode,
  type UnknownRow,
  ValueListNode,
  ValueNode,
} from "kysely";

/** Columns whose values are words of ours. */
const columns = new Set(["state", "status"]);

/**
 * Writes the words that a state is compared with into the statement itself. An index over what is open alone is used
 * only where the statement says so, and a bound value says nothing: each look for work would read every row ever made.
 */
export class LiteralStates implements KyselyPlugin {
  readonly #transformer = new StateTransformer();

  transformQuery({ node }: PluginTransformQueryArgs): RootOperationNode {
    return this.#transformer.transformNode(node);
  }

  async transformResult({ result }: PluginTransformResultArgs): Promise<QueryResult<UnknownRow>> {
    return result;
  }
}

class StateTransformer extends OperationNodeTransformer {
  protected override transformBinaryOperation(node: BinaryOperationNode): BinaryOperationNode {
    const made = super.transformBinaryOperation(node);
    if (!isState(made.leftOperand)) return made;
    return BinaryOperationNode.create(made.leftOperand, made.operator, literal(made.rightOperand));
  }
}

function isState(node: OperationNode): boolean {
  return ReferenceNode.is(node) && ColumnNode.is(node.column) && columns.has(node.column.column.name);
}

function literal(node: OperationNode): OperationNode {
  if (ValueNode.is(node) && typeof node.value === "string") return ValueNode.createImmediate(node.value);
  if (!PrimitiveValueListNode.is(node) || !node.values.every((value) => typeof value === "string")) return node;
  return ValueListNode.create(node.values.map((value) => ValueNode.createImmediate(value)));
}
