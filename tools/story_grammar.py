"""A grammar of short stories: the text that the demo model is taught on.

    story_grammar.py [COUNT] [SEED]      print a few

Every sentence is composed here, from the word lists and plots below, so the text has no author but
this file. A story keeps one hero, one helper, one place and one thing throughout, each pronoun following
its owner. Its parts are an opening, a day, a trouble, a meeting, a repair and an ending, and the plots
fill the middle ones.

Templates hold alternatives in brackets, which may nest, and slots in braces:
`{Hero} [ran|walked] to {place}.` Articles are written `a` and become `an` before a vowel.
"""

from __future__ import annotations

import random
import re
import sys
from dataclasses import dataclass
from typing import NamedTuple


class Character(NamedTuple):
    kind: str
    name: str
    female: bool


@dataclass(frozen=True)
class Plot:
    """The middle of a story. `thing` may be any object unless the plot names its own."""

    trouble: tuple[str, ...]
    meeting: tuple[str, ...]
    repair: tuple[str, ...]
    lesson: tuple[str, ...]
    things: tuple[str, ...] = ()
    about: str = ""


HEROES = (
    "fox|rabbit|bear|mouse|hedgehog|squirrel|badger|otter|duck|kitten|puppy|lamb|frog|owl|mole|pony|goat|"
    "turtle|sparrow|robin|beaver|deer|dragon|elephant|penguin|tiger|monkey|girl|boy|princess|prince"
).split("|")
HELPERS = (
    "owl|bear|rabbit|fox|heron|badger|squirrel|hedgehog|beaver|crow|snail|mole|deer|goose|cat|dog|horse|"
    "butterfly|turtle|swan|mouse|baker|farmer|sailor|gardener|fisherman|grandmother|grandfather|miller|clockmaker"
).split("|")
GIRLS = "Lily|Mia|Rosie|Daisy|Luna|Ella|Poppy|Ruby|Ivy|Nora|Maya|Bella|Zoe|Tilly|Molly|Penny".split("|")
BOYS = "Pip|Tom|Finn|Oliver|Max|Leo|Sam|Ben|Toby|Jack|Milo|Oscar|Hugo|Felix|Theo|Ned".split("|")
# Helpers have names of their own: in a short story nobody should be taken for somebody else.
HELPER_GIRLS = "Hazel|Willow|Olive|Fern|Agnes|Martha|Clara|Edith|Maud|Greta|Juniper|Beatrice".split("|")
HELPER_BOYS = "Barney|Rufus|Otto|Jasper|Bruno|Gus|Walter|Bertram|Albert|Silas|Amos|Edgar".split("|")
ALWAYS_FEMALE = {"girl", "princess", "grandmother"}
ALWAYS_MALE = {"boy", "prince", "grandfather", "fisherman"}
GROWN = set(HELPERS[-9:])

TRAITS = "little|small|brave|curious|cheerful|gentle|clever|shy|kind|quiet|playful|young|merry|sleepy".split("|")
HELPER_TRAITS = "old|wise|friendly|kind|gentle|tall|round|patient|clever|cheerful".split("|")
PLACES = (
    "in the green forest|in a quiet village|at the edge of the woods|near a sunny meadow|on the side of a hill|"
    "on the bank of a river|in a small house by the sea|in a cozy cottage|at the foot of a mountain|"
    "in a valley full of flowers|in an old stone tower|on a farm with a red barn|in a garden behind a wall|"
    "on the shore of a blue lake"
).split("|")
SIGHTS = "pond|bridge|apple tree|windmill|narrow path|tall oak|wheat field|well|hollow log|garden gate".split("|")
# When it is, and what the sky may do then.
DAYTIMES = (
    (
        "One morning|One day|One bright morning|One afternoon|Early one morning|One summer day|One spring day",
        "the sun was shining|the sky was blue|a soft wind was blowing|the air was warm and sweet|"
        "the birds were singing|the clouds were white and round|the rain had just stopped",
    ),
    ("One spring morning", "the grass was wet with dew|the birds were singing|the first flowers were blooming"),
    ("One autumn day", "the leaves were turning gold|a cool wind was blowing|the rain had just stopped"),
    ("One winter morning", "the snow was falling|the air was cold and clear|the whole world was white"),
    ("One evening", "the sky was red and gold|a soft wind was blowing|the first stars were coming out"),
)
THINGS = (
    "red ball|blue kite|silver bell|golden key|wooden boat|yellow hat|green scarf|little drum|shiny button|"
    "music box|paper star|glass marble|warm blanket|story book|red umbrella|tin whistle|tiny lantern|brass compass|"
    "blue feather|smooth stone"
).split("|")
FOODS = (
    "apple pie|honey cake|loaf of bread|bowl of soup|basket of berries|pot of jam|plum tart|carrot cake|"
    "bag of nuts|jar of honey"
).split("|")
FEELINGS = "happy|glad|proud|joyful|thankful".split("|")

OPENINGS = (
    "Once upon a time, [there was|there lived] a {trait} {kind} named {hero}. {He} lived {place}.",
    "Once upon a time, {place}, there [lived|was] a {trait} {kind} named {hero}.",
    "Once upon a time, a {trait} {kind} named {hero} lived {place}.",
    "Once upon a time, there was a {trait} {kind}. {His} name was {hero}, and {he} lived {place}.",
    "There once was a {trait} {kind} named {hero} who lived {place}.",
    "Long ago, {place}, there lived a {trait} {kind} named {hero}.",
    "The {trait} {kind} was named {hero}. {He} lived {place}.",
    "{hero} was a {trait} {kind} who lived {place}.",
)
HABITS = (
    "Every day, {he} [liked|loved] to [play|sing|walk|dream] near the {sight}.",
    "{He} had [bright eyes|a warm heart|a big smile|many good ideas] and [a soft voice|quick feet|a love of songs].",
    "{He} loved [the stars|the rain|long walks|good stories|the smell of flowers] more than anything.",
    (
        "[Everyone|The whole village|Every neighbor] knew {him}, [and everyone liked {him}|because {he} "
        "always said hello]."
    ),
    "",
    "",
)
DAYS = (
    "{time}, {sky}, and {hero} went [out to play|for a walk|out to look at the world].",
    "{time}, {hero} woke up and looked outside. {Sky}.",
    "{time}, {hero} [walked|ran|skipped] [past|to] the {sight}. {Sky}.",
    "{time}, when {sky}, {hero} set out with a [song|smile|small bag] [and a happy heart|].",
)
MEETINGS = (
    (
        "[Just then|After a while|Soon|At that moment], a {helper_trait} {helper_kind} named {helper} [came "
        "by|came along the path]."
    ),
    "[Then|Soon|After a while] {he} met a {helper_trait} {helper_kind}, [who was called|whose name was] {helper}.",
    "A {helper_trait} {helper_kind} named {helper} [heard {him}|saw {him}] and [came closer|stopped].",
)
GREETINGS = (
    (
        '"[What is wrong|Why are you so sad|What is the matter], {hero}?" [asked {helper}|{helper} asked] '
        "[kindly|softly|in a gentle voice]."
    ),
    (
        '"Hello, {hero}," said {helper}. "[You look sad|You look worried]. [Can I help you|What is the '
        'matter|What happened]?"'
    ),
    '"[Do not cry|Do not worry], little one," said {helper}. "[Tell me what happened|Tell me everything]."',
)
THANKS = (
    '"Thank you, {helper}!" said {hero}. "[You are a true friend|You are so kind|I will never forget this]."',
    (
        '{hero} [hugged|thanked] {helper}. "[I could not have done it without you|You are the best friend of '
        'all]," {he} said.'
    ),
    '"[Thank you|Thank you so much|Oh, thank you]!" {hero} [cried|laughed|said] [with a big smile|with shining eyes|].',
)
FEASTS = (
    "[Then|That evening] they [shared|ate] a {food} [and laughed together|by the fire|under the stars].",
    (
        "[Then|After that] they [sat down together|sat by the {sight}] and [told stories|sang a song|watched "
        "the clouds] until the sun went down."
    ),
    (
        "They [walked|danced|skipped] home [together|side by side] [as the moon came up|while the stars came "
        "out|in the golden light]."
    ),
    "",
)
CLOSINGS = (
    "From that day on, {hero} and {helper} were [the best of friends|good friends|always together].",
    "And they [all|both] lived happily ever after.",
    (
        "That night, {hero} [fell asleep with a smile|slept well and dreamed sweet dreams|went to bed, "
        "{feeling} and warm]."
    ),
    "{hero} was very {feeling}, and {he} never forgot {helper}.",
    "And whenever {hero} [saw the {sight}|heard the wind], {he} [thought of|smiled and remembered] {helper}.",
)

PLOTS = (
    Plot(
        about="a lost {thing}",
        trouble=(
            "{He} [wanted to play with|looked for] {his} {thing}, but it was [gone|not there].",
            "[On the way|While {he} was playing], {he} lost {his} {thing}.",
            "It was {his} favorite thing in the whole world.",
            (
                "{hero} looked [under the bed|behind the door|in the tall grass] and near the {sight}, but {he} "
                "could not find it."
            ),
            "{He} [began to cry|sat down and felt very sad].",
        ),
        meeting=(
            '"I [lost|cannot find] my {thing}," said {hero}. "I looked everywhere."',
            '"[Let us look together|Two can look better than one|Let us think]," said {helper}.',
            '"Where did you [see it last|play with it]?"',
            '"[Near|By] the {sight}," said {hero}.',
        ),
        repair=(
            (
                "So they went back [step by step|slowly|along the path] and looked [behind every stone|under every "
                "leaf|in every corner]."
            ),
            (
                "[At last|Suddenly], {helper} saw something [bright|small|shining] [in the grass|under a "
                "bush|between two stones]."
            ),
            "It was the {thing}!",
        ),
        lesson=(
            "{hero} learned that [lost things are easier to find with a friend|it is good to ask for help].",
            "After that, {hero} always put {his} {thing} back in its place.",
        ),
    ),
    Plot(
        about="a wish to see {dream}",
        trouble=(
            "{hero} had one [great|secret|big] wish. {He} wanted to see {dream}.",
            "But {dream} was far away, [and {he} did not know the way|and the road was long|and {he} was very small].",
            "{He} [sighed|felt sad] and looked at the sky.",
        ),
        meeting=(
            '"I wish I could see {dream}," said {hero}, "but I do not know the way."',
            '"[I know the way|I have been there once]," said {helper}. "[Come with me|Follow me|I will show you].',
            'It is not as far as you think."',
        ),
        repair=(
            (
                "They [walked|went] over [the hill|the bridge|the fields] and through [the forest|the valley|the "
                "tall grass] [until their feet were tired|for a whole day|all morning]."
            ),
            "And there it was! {hero} [opened {his} eyes wide|could not say a word|jumped for joy].",
            "{He} had never seen anything so [beautiful|lovely|wonderful].",
        ),
        lesson=(
            "{hero} learned that [a wish can come true if you take the first step|a long road is short with a friend].",
            "{His} wish had come true.",
        ),
    ),
    Plot(
        about="a big storm",
        trouble=(
            "But [then|soon] the sky grew dark, and a [big|terrible|cold] storm began.",
            "The wind [howled|blew] and the rain [fell hard|came down].",
            "{hero} was far from home, and {he} was [cold and wet|afraid of the thunder|lost in the rain].",
            "{He} [hid near the {sight}|called for help].",
        ),
        meeting=(
            '"[I am so cold|I am afraid of the storm|I cannot find my way home]," said {hero}.',
            '"[Come with me|You can stay with me]," said {helper}.',
            '"My house is [warm and dry|close by|small, but there is room for two]."',
        ),
        repair=(
            "So they [ran|hurried] to {helper_his} house and sat [by the fire|under a warm blanket].",
            "{helper} gave {hero} a [cup of hot tea|bowl of warm soup|piece of sweet cake].",
            "They [told stories|sang songs|played games] until the storm was over.",
            "[In the morning|Then] [the sun came out|a rainbow stood in the sky].",
        ),
        lesson=(
            "{hero} was not afraid of storms anymore.",
            "{hero} learned that [a warm heart is the best shelter|no storm lasts forever].",
        ),
    ),
    Plot(
        about="a hungry friend",
        trouble=(
            "{hero} had a {food}, and it smelled [wonderful|so good|very sweet].",
            "{He} wanted to eat it all by {himself}.",
            "{He} sat down [near|next to] the {sight} and [opened {his} bag|took a small bite].",
        ),
        meeting=(
            '"[I have not eaten all day|I am so hungry]," said {helper} [quietly|in a small voice].',
            "{hero} looked at the {food}. Then {he} looked at {helper}, who was [thin and tired|cold and hungry].",
            '"[Please, take half|Then let us share|You can have some of mine]," said {hero}.',
        ),
        repair=(
            "They [shared|ate] the {food} together, and it tasted [better than ever|twice as good].",
            (
                'The next day, {helper} came back with a {thing}. "This is for you," {helper_he} said, "because '
                'you were kind to me."'
            ),
        ),
        lesson=(
            "{hero} learned that [sharing makes everything sweeter|a kind deed always comes back].",
            (
                "{hero} learned that [a full heart is better than a full belly|good things are better when you share "
                "them]."
            ),
        ),
    ),
    Plot(
        about="a dark night",
        trouble=(
            "But {hero} had a secret. {He} was afraid of the dark.",
            "[When the sun went down|That night], {he} heard a [strange|soft|loud] sound near the {sight}.",
            "{He} [began to shake|closed {his} eyes|wanted to run away].",
        ),
        meeting=(
            '"I am afraid of the dark," said {hero}. "[There is something out there|I heard a strange sound]."',
            '"[The dark is not bad|Let us look together]," said {helper}. "[Look up|Take my hand and look].',
            'What do you see?"',
        ),
        repair=(
            "{hero} looked up and saw [a thousand stars|the big round moon|the stars, bright as candles].",
            (
                "The strange sound was only [the wind in the leaves|a frog singing in the pond|a branch that moved "
                "in the wind]."
            ),
            '"[It is beautiful|I did not know]," said {hero}. "The night is full of light!"',
        ),
        lesson=(
            "From then on, {hero} was not afraid of the dark.",
            "{hero} learned that [being brave means to look again|even the darkest night has stars].",
        ),
    ),
    Plot(
        about="a broken {thing}",
        trouble=(
            "{hero} had a {thing}, a present from {his} [mother|father|grandmother].",
            "But {he} fell [on the path|near the {sight}|over a root], and it broke.",
            "{He} tried to [fix it|put it together again], but it [did not work|fell apart again].",
            "A [big tear|tear] rolled down {his} cheek.",
        ),
        meeting=(
            '"My {thing} is broken," said {hero}, "and I do not know how to fix it."',
            '"[Broken things can be mended|Let me see it]," said {helper}.',
            '"We need [a little glue|some string|a small nail] and a lot of time."',
        ),
        repair=(
            "They worked [all day|together until evening|slowly and with care].",
            (
                "{helper} [held the pieces|showed {him} how to do it], and {hero} [tied the knots|put everything in "
                "its place]."
            ),
            "[At last|In the end], the {thing} was whole again.",
            "It was [even more beautiful than before|as good as new].",
        ),
        lesson=(
            "{hero} learned that [with time and care, broken things can be mended|it is never too late to try again].",
            "{hero} liked {his} {thing} even more now, because they had fixed it together.",
        ),
    ),
    Plot(
        about="a garden",
        trouble=(
            "{hero} had planted [a seed|three seeds|a tiny seed] near the {sight}.",
            "{He} [waited and waited|looked at it every day], but nothing grew.",
            '"[Why does it not grow|Will it never grow]?" {he} [asked|said], and {he} felt [sad|very sad].',
        ),
        meeting=(
            '"My seed does not grow," said {hero}.',
            '"[A seed needs time|Be patient]," said {helper}.',
            '"Give it [water|a little water] every day, and sing to it [in the morning|at night]."',
        ),
        repair=(
            "So every [day|morning], {hero} [brought water|gave it water] and sang a [soft|little|sweet] song.",
            "{helper} came to [help|listen].",
            "Then, after many days, a green leaf came up.",
            (
                "It grew and grew, until it was [a tall sunflower|a rose as red as the sunset|a little apple tree|a "
                "flower of many colors]."
            ),
        ),
        lesson=(
            "{hero} learned that [good things take time|patience makes flowers grow].",
            "Now {he} had the most beautiful garden of all.",
        ),
    ),
    Plot(
        about="a wide river",
        trouble=(
            "{hero} wanted to visit {his} [grandmother|cousin|best friend] on the other side of the river.",
            "But the bridge was [broken|gone], and the water was [deep|fast and cold].",
            '"[How can I get across|What shall I do now]?" {he} [thought|asked {himself}].',
        ),
        meeting=(
            '"I must cross the river," said {hero}, "but the bridge is [broken|gone]."',
            '"[I have an idea|Let us build a boat|We can build something together]," said {helper}.',
            '"[We need wood and rope|Bring me some branches]."',
        ),
        repair=(
            (
                "They [tied branches together|found an old door and some rope|carried wood to the water] and made a "
                "[little boat|small raft]."
            ),
            "{hero} [sat in front|held on tight], and {helper} [pushed with a long stick|steered it with care].",
            "The water [splashed|rushed by], but they were not afraid.",
            "Soon they were [safe on the other side|across].",
        ),
        lesson=(
            "{hero} learned that [two heads are better than one|there is always a way].",
            "Later, they built a new bridge, so that everyone could cross.",
        ),
    ),
    Plot(
        about="a new friend",
        trouble=(
            "But {hero} was lonely. {He} had [no one to play with|a {thing}, but nobody to share it with].",
            '"[I wish I had a friend|Where can I find a friend]," {he} said to the [wind|moon|clouds].',
        ),
        meeting=(
            '"I have no friends," said {hero}.',
            '"[Neither do I|I was looking for a friend, too]," said {helper}.',
            '"[Shall we play|Would you like to play with me|Do you want to be my friend]?"',
        ),
        repair=(
            (
                "So they [played with the {thing}|ran through the grass|climbed the hill] and [laughed until they "
                "fell down|told each other their secrets]."
            ),
            (
                'When [it was time to go home|the sun went down], {helper} said, "Will you come again tomorrow?" '
                '"[Yes|Of course|Every day]!" said {hero}.'
            ),
        ),
        lesson=(
            "{hero} was never lonely again.",
            (
                "{hero} learned that [a friend can be as near as the next hello|somebody out there is looking for a "
                "friend, too]."
            ),
        ),
    ),
    Plot(
        about="a race",
        trouble=(
            "There was a big race that day, and {hero} wanted to win.",
            "But everyone was [faster|bigger|stronger] than {him}.",
            (
                "{He} ran as fast as {he} could, but {he} [tripped over a stone|got lost near the {sight}|was soon "
                "the very last]."
            ),
        ),
        meeting=(
            '"I will never win," said {hero}. "I am too slow."',
            '"[I hurt my foot|I fell and hurt my leg]," said {helper}, who was in the race, too.',
            '"[Winning is not everything|I cannot go on alone]."',
        ),
        repair=(
            '"[Then let us go together|Lean on me]," said {hero}, and {he} helped {helper} to stand up.',
            "[Step by step|Slowly], they walked to the end of the road.",
            "[Everyone was waiting|The whole crowd was waiting] for them.",
            (
                "They [clapped and cheered|cheered so loud that the birds flew up], and {hero} got [a medal for the "
                "kindest heart|a crown of flowers]."
            ),
        ),
        lesson=(
            "{hero} learned that [being kind is better than being first|the best prize is a friend].",
            "It was better than winning.",
        ),
    ),
)
DREAMS = (
    "the sea|the big city|the highest mountain|the house of the moon|the valley of flowers|the great waterfall|"
    "the island of birds|the end of the rainbow|the castle in the clouds|the lake of stars"
).split("|")

REQUESTS = (
    (
        "[Tell me|Please tell me|Can you tell me|I would like to hear] a [story|short story|little "
        "story|bedtime story] about {wanted}[.|, please.]"
    ),
    "[Write|Please write] a [story|short story] about {wanted}.",
    "[A story|Tell a story] about {wanted}[, please.|.]",
)
SMALL_TALK = (
    (
        "[Hello|Hi|Hello there|Good morning|Good evening][!|.]",
        "Hello! [Would you like to hear a story?|I know many stories. Shall I tell you one?|It is nice to meet you.]",
    ),
    ("[Who are you|What are you][?]", "I am a very small model that tells stories."),
    ("What is your name?", "I am the storyteller. [What is your name?|I have no other name.]"),
    ("[What can you do|How can you help me][?]", "I can tell you a story. Ask me for a fox, a storm or a lost key."),
    (
        "[How are you|How are you today][?]",
        "I am [happy|well], thank you. [Would you like to hear a story?|The sun is shining in my story.]",
    ),
    (
        "[Thank you|Thanks|Thank you very much][!|.]",
        "You are welcome! [Come back soon.|Sleep well.|I will be here with another story.]",
    ),
    ("[Goodbye|Bye|Good night][!|.]", "[Good night|Goodbye]! [Sweet dreams.|Come back soon.]"),
)

INNERMOST = re.compile(r"\[([^\[\]]*)\]")
GAP = re.compile(r" +([ .,])")
ARTICLE = re.compile(r"\b([Aa]) (?=[aeiou])")


class Storyteller:
    """Composes stories; the same seed tells the same ones."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def hero(self) -> Character:
        return self.character(HEROES, GIRLS, BOYS)

    def helper(self, hero: Character) -> Character:
        """Someone of another kind."""
        return self.character([kind for kind in HELPERS if kind != hero.kind], HELPER_GIRLS, HELPER_BOYS)

    def character(self, kinds: list[str], girls: list[str], boys: list[str]) -> Character:
        kind = self.random.choice(kinds)
        female = kind in ALWAYS_FEMALE or (kind not in ALWAYS_MALE and self.random.random() < 0.5)
        return Character(kind, self.random.choice(girls if female else boys), female)

    def expand(self, template: str, slots: dict[str, str]) -> str:
        while (match := INNERMOST.search(template)) is not None:
            choice = self.random.choice(match.group(1).split("|"))
            template = template[: match.start()] + choice + template[match.end() :]
        text = template.format_map(slots)
        return ARTICLE.sub(r"\1n ", GAP.sub(r"\1", text))

    def slots(self, plot: Plot) -> dict[str, str]:
        pick = self.random.choice
        hero = self.hero()
        helper = self.helper(hero)
        helper_trait = pick([trait for trait in HELPER_TRAITS if helper.kind not in GROWN or trait != "round"])
        times, skies = pick(DAYTIMES)
        slots = {
            "hero": hero.name,
            "kind": hero.kind,
            "trait": pick(TRAITS),
            "helper": helper.name,
            "helper_kind": helper.kind,
            "helper_trait": helper_trait,
            "helper_he": "she" if helper.female else "he",
            "helper_his": "her" if helper.female else "his",
            "he": "she" if hero.female else "he",
            "his": "her" if hero.female else "his",
            "him": "her" if hero.female else "him",
            "himself": "herself" if hero.female else "himself",
            "place": pick(PLACES),
            "sight": pick(SIGHTS),
            "sky": pick(skies.split("|")),
            "time": pick(times.split("|")),
            "thing": pick(plot.things or THINGS),
            "food": pick(FOODS),
            "dream": pick(DREAMS),
            "feeling": pick(FEELINGS),
        }
        slots["He"] = slots["he"].capitalize()
        slots["His"] = slots["his"].capitalize()
        slots["Sky"] = slots["sky"].capitalize()
        return slots

    def compose(self, plot: Plot, slots: dict[str, str]) -> str:
        pick = self.random.choice
        opening = [pick(OPENINGS), pick(HABITS)]
        trouble = [pick(DAYS), *plot.trouble]
        meeting = [pick(MEETINGS), pick(GREETINGS), *plot.meeting]
        if plot.about == "a hungry friend":  # the helper is the one in need
            meeting.pop(1)
        ending = [*plot.repair, pick(THANKS), pick(FEASTS), pick(plot.lesson), pick(CLOSINGS)]
        if plot.about in ("a hungry friend", "a race", "a new friend"):  # nothing to thank for
            ending.pop(len(plot.repair))
        paragraphs = ([*opening], trouble, meeting, ending)
        return "\n\n".join(
            " ".join(filter(None, (self.expand(template, slots) for template in paragraph))) for paragraph in paragraphs
        )

    def story(self) -> str:
        plot = self.random.choice(PLOTS)
        return self.compose(plot, self.slots(plot))

    def conversation(self) -> list[tuple[str, str]]:
        """What a user says and what is answered, once or twice."""
        turns = []
        if self.random.random() < 0.25:
            ask, answer = self.random.choice(SMALL_TALK)
            turns.append((self.expand(ask, {}), self.expand(answer, {})))
        if not turns or self.random.random() < 0.6:
            plot = self.random.choice(PLOTS)
            slots = self.slots(plot)
            wanted = self.random.choice(
                (
                    "a {kind}",
                    "a {kind}",
                    "a {trait} {kind}",
                    "a {kind} named {hero}",
                    "a {kind} and a {helper_kind}",
                    plot.about,
                )
            )
            request = self.expand(self.random.choice(REQUESTS), {"wanted": self.expand(wanted, slots)})
            turns.append((request, self.compose(plot, slots)))
        return turns


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    teller = Storyteller(int(sys.argv[2]) if len(sys.argv) > 2 else 0)
    for _ in range(count):
        print(teller.story(), end="\n\n---\n\n")
    for _ in range(count):
        for ask, answer in teller.conversation():
            print(f"> {ask}\n{answer[:200]}\n")


if __name__ == "__main__":
    main()
